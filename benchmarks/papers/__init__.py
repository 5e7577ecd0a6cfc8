"""The worked examples of the papers: exact windows, the library's, and the printed formulas side by side.

``python -m benchmarks.papers`` computes all of them and writes ``papers.json``, ``papers.csv`` and one picture each;
``docs/papers.md`` shows them.
"""
