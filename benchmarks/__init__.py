"""Benchmarks: ``python -m benchmarks SUITE [--smoke] [--json FILE]``; results are ratios measured within one run."""
