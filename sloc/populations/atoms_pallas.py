"""The innermost step of ``sloc.populations.atoms`` as a Pallas kernel for GPU (Triton) and TPU (Mosaic).

Each instance holds one tile of inner products, atoms of one class by some draws, in registers (GPU) or vector memory
(TPU), and walks over all times: every product is read once and one number a tile, time and draw is written.

**Not tested on hardware.** The kernel is checked against the XLA path by the interpreter and is lowered for both
platforms, no more; it runs only where ``Empirical(..., kernel="pallas")`` asks for it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
SAMPLES = 128
"""The number of draws is a multiple of it: the lanes of a TPU."""
MOST_ATOMS = 256
"""The largest tile: two arrays of 256 by 32 fill a quarter of a GPU's registers of 256 threads."""
_WARPS = 8


def _log_sums(rate_ref: Any, square_ref: Any, cross_ref: Any, out_ref: Any) -> None:
    from jax.experimental import pallas as pl

    half, cross = -0.5 * square_ref[0], cross_ref[0]

    def at(step: Array, carry: None) -> None:
        r = rate_ref[step]
        x = r * (r * half - cross)
        top = jnp.max(x, axis=0, keepdims=True)
        # As in the XLA path: what is true of exact numbers is kept when rounding is more than an exponential can hold.
        total = jnp.clip(jnp.sum(jnp.exp(x - top), axis=0, keepdims=True), 1.0, x.shape[0])
        out_ref[0, pl.ds(step, 1), :] = top + jnp.log(total)
        return carry

    jax.lax.fori_loop(0, rate_ref.shape[0], at, None)


def tile_log_sums(squares: Array, crosses: Array, rates: Array, *, platform: str) -> Array:
    """``logsumexp_a (-r^2 S[g, a, b] / 2 - r C[g, a, b])``, exact up to rounding; ``[G, T, B]``.

    Args:
        squares: ``[G, A, B]``, squared distances ``S``; ``A`` a power of two, ``B`` a multiple of ``SAMPLES``.
        crosses: ``[G, A, B]``, products ``C`` of noise and difference.
        rates: ``[T]``.
        platform: ``cuda`` (lowered by Triton), ``tpu`` (by Mosaic), or ``interpret``: by Pallas's interpreter on any
            platform.

    Returns:
        ``[G, T, B]``.

    """
    # Here, so that `import sloc` does not load them.
    from jax.experimental import pallas as pl

    (tiles, height, batch), times = squares.shape, rates.shape[0]
    options: dict[str, Any] = {"interpret": platform == "interpret"}
    space, draws = None, SAMPLES
    if platform == "cuda":
        from jax.experimental.pallas import triton

        options["compiler_params"], draws = triton.CompilerParams(num_warps=_WARPS), 32
    elif platform == "tpu":
        from jax.experimental.pallas import tpu

        space = tpu.SMEM
    pair = pl.BlockSpec((1, height, draws), lambda g, b: (g, 0, b))
    return pl.pallas_call(
        _log_sums,
        grid=(tiles, batch // draws),
        in_specs=[pl.BlockSpec((times,), lambda g, b: (0,), memory_space=space), pair, pair],
        out_specs=pl.BlockSpec((1, times, draws), lambda g, b: (g, 0, b)),
        out_shape=jax.ShapeDtypeStruct((tiles, times, batch), squares.dtype),
        **options,
    )(rates, squares, crosses)
