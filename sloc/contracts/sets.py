"""Sets of sub-populations: their names, and what a caller may say as masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts.base import require, shown

if TYPE_CHECKING:
    from sloc.contracts.population import Population

Sets = Any
"""An index, a name, or a sequence of them: a set of sub-populations."""


def component_names(population: Population) -> tuple[str, ...]:
    """Return the names of the sub-populations; ``"0" .. "K-1"`` where none were given.

    Args:
        population: a population.

    Returns:
        ``K`` texts.

    """
    known = hasattr(population, "names") and hasattr(population, "num_components")
    require(known, "population", population, "a population: what has names and num_components")
    names = population.names
    listed = isinstance(names, (tuple, list)) and all(isinstance(name, str) for name in names)
    require(listed, "names", names, "a tuple of texts, one for each sub-population, or () for 0 .. K-1")
    return tuple(names) or tuple(str(i) for i in range(population.num_components))


def component_mask(population: Population, sets: Sets, argument: str) -> np.ndarray:
    """Turn an index, a name, or a sequence of them into a boolean mask ``[K]``.

    An int is an index and a str is a name, always.  A boolean array of length ``K`` is a mask already.

    Args:
        population: whose sub-populations are meant.
        sets: what is to be a mask.
        argument: its name in messages.

    Returns:
        ``[K]`` bool.

    Raises:
        InvalidInput: empty set, unknown name, index outside ``0 .. K-1``.

    """
    names, k = component_names(population), population.num_components
    if isinstance(sets, np.ndarray) and sets.dtype == bool:
        require(sets.shape == (k,), argument, sets.shape, f"a boolean mask of shape ({k},)")
        require(bool(sets.any()), argument, sets, "at least one sub-population")
        return sets.copy()
    single = isinstance(sets, (int, str, np.integer)) and not isinstance(sets, (bool, np.bool_))
    items: Any = [sets] if single else sets
    require(
        isinstance(items, (Sequence, np.ndarray, set, frozenset, range)),
        argument,
        sets,
        "an index, a name, or a sequence of them",
    )
    mask = np.zeros(k, bool)
    for item in items:
        if isinstance(item, str):
            require(item in names, argument, item, f"one of the names {shown(names, 200)}")
            mask[names.index(item)] = True
        else:
            require(
                isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_)),
                argument,
                item,
                "an int (index) or a str (name)",
            )
            require(0 <= int(item) < k, argument, item, f"an index from 0 to {k - 1}")
            mask[int(item)] = True
    require(bool(mask.any()), argument, sets, "at least one sub-population")
    return mask


def set_name(population: Population, mask: np.ndarray, most: int = 6) -> str:
    """Return a set of sub-populations as text: its name, or ``{a, b, ...}`` with at most ``most`` names.

    Args:
        population: a population.
        mask: ``[K]`` bool.
        most: names that are written out.

    Returns:
        The text.

    """
    chosen = [component_names(population)[i] for i in np.flatnonzero(mask)]
    return chosen[0] if len(chosen) == 1 else "{" + ", ".join(chosen[:most] + ["..."] * (len(chosen) > most)) + "}"
