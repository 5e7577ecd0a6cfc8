"""Run benchmarks: ``python -m benchmarks SUITE ...`` is ``sloc bench SUITE ...``."""

from __future__ import annotations

import sys

from sloc.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
