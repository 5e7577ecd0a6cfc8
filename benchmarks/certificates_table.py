"""A certified table for handwritten digits: 64 times, all 45 pairs, intervals that hold in all 2,880 cells at once."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

import sloc
from benchmarks.timing import Row, at_most, called, spread_row, timed
from benchmarks.windows_digits import images

DELTA = 0.05


def rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield the time of the first call, compilation included, later ones, their share of the floor, and the widths."""
    process = sloc.processes.OrnsteinUhlenbeck()
    digits = images(process.grid(4 if smoke else 64))
    population = sloc.populations.Empirical(digits.data, np.repeat(np.arange(digits.classes), digits.counts))
    n = 2040 if smoke else 1 << 16
    pairs = {pair: sloc.TV(*pair) for pair in digits.pairs}
    cells = len(pairs) * digits.times.size

    def table(interval: str) -> dict[tuple[int, int], sloc.Curve]:
        # Each curve's band holds at all its times with 1 - DELTA / 45: all curves at once with 1 - DELTA.
        return sloc.measure(
            jax.random.key(0),
            process,
            population,
            digits.times,
            pairs,
            n=n,
            delta=DELTA / len(pairs),
            interval=interval,
            method="monte-carlo",
        )

    betting, first = called(lambda: table("betting"))
    name = f"digits, OU: {digits.times.size} times x {len(pairs)} pairs at once, betting intervals"
    yield at_most(
        {"name": f"{name}, first call", "value": first, "unit": "s", "draws": betting[0, 1].n, "cells": cells}, 60.0
    )
    later = [timed(lambda: table("betting")) for _ in range(1 if smoke else min(rounds, 3))]
    yield spread_row(f"{name}, later calls", later, "s")
    draws, (count, pixels) = betting[0, 1].n, digits.data.shape
    floor = draws * count * digits.times.size / ceilings["exp"]["value"]
    floor += 4 * draws * count * pixels / ceilings["matmul"]["value"]
    yield {
        "name": f"{name}: share of the floor, one exp for each draw, image and time, and products",
        "value": floor / min(later),
        "unit": "",
    }
    plain, took = called(lambda: table("maurer-pontil"))
    yield {"name": f"{name.replace('betting', 'Maurer-Pontil')}, first call", "value": took, "unit": "s"}

    def stacked(curves: dict[tuple[int, int], sloc.Curve], field: str) -> np.ndarray:
        return np.stack([np.asarray(getattr(curves[p], field), np.float64) for p in pairs])

    width = stacked(betting, "upper") - stacked(betting, "lower")
    other = stacked(plain, "upper") - stacked(plain, "lower")
    value = stacked(betting, "value")
    if not bool(((stacked(betting, "lower") <= value) & (value <= stacked(betting, "upper"))).all()):
        raise AssertionError("a betting interval leaves out its own mean")
    yield {"name": f"{name}: mean width", "value": float(width.mean()), "unit": "TV", "largest": float(width.max())}
    ratio = other / np.maximum(width, 1e-300)
    yield {
        "name": f"{name}: Maurer-Pontil's width over betting's, median cell",
        "value": float(np.median(ratio)),
        "unit": "",
        "least": float(ratio.min()),
        "most": float(ratio.max()),
    }
