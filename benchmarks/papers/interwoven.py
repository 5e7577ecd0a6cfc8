"""Ex. 11: questions that a user writes between the model's answers (the interwoven kernel of App. C.2.5)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from sloc.contracts import Revealed
from sloc.divergence import betting_interval
from sloc.windows.edges import edge_on_grid

from .certified import window_rows
from .context_rules import EPSILON as LEAST
from .context_rules import NAME, OUTPUTS, WEIGHTS, counted, rows_of, rules, unequal
from .interwoven_kernels import EPSILON, EXAMPLES, FIRST, PROCESS, RULE, SETTING, ask, refused, weave
from .rows import Result, Row, ends


def apart(laws: np.ndarray) -> float:
    """Return TV of the rule and the mixture of the others."""
    others = np.arange(3) != RULE
    return float(np.abs(laws[RULE] - WEIGHTS[others] @ laws[others] / WEIGHTS[others].sum()).sum() / 2)


def own_tv() -> np.ndarray:
    """Return TV by examples seen where questions are the model's own, at random."""
    return np.array([apart(counted(n)) for n in range(EXAMPLES + 1)])


def woven_tv() -> np.ndarray:
    """Return TV by examples seen where questions are written: all words of answers, which fix the questions."""
    laws, question, out = np.ones((3, 1)), np.array([FIRST]), [0.0]
    for _ in range(EXAMPLES):
        laws = (laws[:, :, None] * OUTPUTS[:, question]).reshape(3, -1)
        question = ((question[:, None] + 1 + np.arange(2)) % 2).ravel()
        out.append(apart(laws))
    return np.array(out)


def exact_edges(tv: np.ndarray) -> tuple[int, int]:
    """Return the window of the rule within all in examples removed, from TV by examples seen."""
    removed = tv[::-1]
    close = (1 - WEIGHTS[RULE]) * removed
    return int(np.flatnonzero(removed >= 1 - EPSILON**2).max()), int(np.flatnonzero(close <= EPSILON).min())


def woven_window(n: int) -> list[Row]:
    """Return the window of the interwoven sampler from its draws: ``1 - TV = E min(pi_A / w_A, pi_B / w_B)``.

    The posterior at its observations is that of the model, which is what Assumption 1 says.
    """
    grid = np.arange(2 * EXAMPLES + 1)
    woven = weave(ask, np.arange(1, 2 * EXAMPLES, 2))
    words = sloc.localize(jax.random.key(26), PROCESS, rules(EXAMPLES), grid=grid, n=n, localizer=woven)

    @jax.jit
    def beliefs(words: jax.Array, seen: jax.Array) -> jax.Array:
        known = jnp.arange(2 * EXAMPLES) < 2 * seen
        at = lambda x: sloc.posterior(PROCESS, rules(EXAMPLES), Revealed(x, known), 2 * (EXAMPLES - seen))  # noqa: E731
        return jnp.exp(jax.vmap(at)(words)[:, RULE])

    weight, t = float(WEIGHTS[RULE]), np.arange(EXAMPLES + 1)
    pi = np.stack([np.asarray(beliefs(words, EXAMPLES - removed), np.float64) for removed in t])
    shared = np.clip(np.minimum(pi / weight, (1 - pi) / (1 - weight)), 0, 1)
    low, high = betting_interval(shared, 0.05 / len(t))
    tv, least, most = 1 - shared.mean(1), 1 - high, 1 - low
    kept, rows = 1 - weight, []
    for name, truth, scale, level, side in zip(
        ("T_after", "T_before"), exact_edges(woven_tv()), (1.0, kept), (1 - EPSILON**2, EPSILON), ("last", "first"),
        strict=True,
    ):  # fmt: skip
        edge = edge_on_grid(
            t, scale * tv, scale * least, scale * most, level, side, horizon=float(EXAMPLES), discrete=True
        )
        note = "questions by the user, who goes by the answers"
        note += "" if edge.status == "resolved" else f"; status {edge.status}"
        rows.append(
            Row(NAME, f"{SETTING}, interwoven", f"{name} (examples removed)", truth, *ends(edge.value, edge.interval),
                f"certified, {n:,} draws", None, note)
        )  # fmt: skip
    return rows


def own_window(budget: int) -> list[Row]:
    """Return the window of the same rule where the model asks its own questions."""
    process = sloc.processes.Retimed(PROCESS, sloc.processes.Steps(2 * np.arange(EXAMPLES + 1)))
    window = sloc.critical_window(
        jax.random.key(27), process, rules(EXAMPLES), RULE, [0, 1, 2], epsilon=EPSILON, method="monte-carlo",
        certify=True, budget=budget,
    )  # fmt: skip
    notes = ("questions at random", "questions at random")
    return window_rows(
        NAME, f"{SETTING}, as it is", exact_edges(own_tv()), window, unit="examples removed", notes=notes
    )


def run(n: int = 65_536) -> Result:
    """Return errors of a rare and of a common rule, both windows, and the refusal."""
    fit, series = unequal()
    tv = {"as it is": own_tv(), "interwoven": woven_tv()}
    series |= {"tv": tv, "edges": {name: exact_edges(curve) for name, curve in tv.items()}}
    rows = [*rows_of(0, n), *rows_of(2, n), *own_window(n), *woven_window(n), refused()]
    return Result(rows, [fit], series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV by examples removed with and without a user, and the lost mass against the rule's weight."""
    from .pictures import BLUE, GREEN, ORANGE, SOFT, span, ticks

    left, right = axes
    looks = zip(found["tv"].items(), (BLUE, GREEN), ("questions at random", "questions by a user"), strict=True)
    for i, ((name, tv), colour, label) in enumerate(looks):
        left.plot(range(EXAMPLES + 1), tv[::-1], color=colour, marker="o", markersize=3, linewidth=1, label=label)
        span(left, found["edges"][name], colour, "exact windows" if i == 0 else "_", 0.06 * i)
    left.set(xlabel="examples removed, t", ylabel="TV of the rule and the others", ylim=(-0.14, 1.05))
    left.set(title=f"w* = {WEIGHTS[RULE]:g}, ε = {EPSILON:g}")
    left.legend(fontsize=7.5)
    right.plot(found["w"], found["printed"], color=ORANGE, marker="s", markersize=3.5, linestyle="--", label="ε / w*")
    bound = "½ Σ √(w_j/w*) BC_j^T"
    right.plot(found["w"], found["bound"], color=GREEN, marker="^", markersize=4, linestyle="--", label=bound)
    right.plot(found["w"], found["lost"], color=BLUE, marker="o", markersize=4, label="exact")
    right.axhline(LEAST, color=SOFT, linestyle=":", linewidth=1)
    right.set(xscale="log", yscale="log", xlabel="weight w* of the rule", ylabel="E[1-π]")
    right.set(title="after the mended number of examples")
    right.legend(fontsize=7.5)
    ticks(right, found["w"])
