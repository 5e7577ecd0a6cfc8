"""Demonstrations that download nothing: a grammar, sums with carries, stories."""
