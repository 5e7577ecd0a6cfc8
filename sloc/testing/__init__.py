"""Public conformance suite and statistical assertions, for the built-in classes and for a user's own."""

from sloc.testing.assertions import assert_means_equal, assert_probability_calibrated, assert_same_law
from sloc.testing.conformance import ConformanceError, ConformanceReport
from sloc.testing.population_suite import check_population
from sloc.testing.process_suite import check_process

__all__ = [
    "ConformanceError",
    "ConformanceReport",
    "assert_means_equal",
    "assert_probability_calibrated",
    "assert_same_law",
    "check_population",
    "check_process",
]
