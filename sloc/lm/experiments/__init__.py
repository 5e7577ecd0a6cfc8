"""Resampling experiments: where a generation decided its answer."""
