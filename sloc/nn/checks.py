"""Entry checks of the networks: sizes, shapes and networks are refused here, before a weight is drawn."""

from __future__ import annotations

from typing import Any

from flax import nnx

from sloc.contracts import require
from sloc.contracts.arguments import as_whole, checked_kind, checked_whole


def checked_network(model: Any, *attributes: str, argument: str = "model") -> Any:
    """Return a network that has some attributes.

    Raises:
        InvalidInput: no ``nnx.Module``, or one without them.

    """
    checked_kind(model, argument, nnx.Module, "a network (an nnx.Module)")
    missing = [name for name in attributes if not hasattr(model, name)]
    require(not missing, argument, model, f"a network with {', '.join(attributes)}")
    return model


def checked_shape(shape: Any, argument: str = "shape", *, image: bool = False) -> tuple[int, ...]:
    """Return the shape of ``X``: positive whole numbers; two or three of them for an image.

    Raises:
        InvalidInput: anything else.

    """
    sizes = isinstance(shape, (tuple, list)) and len(shape) > 0 and all(as_whole(n) >= 1 for n in shape)
    require(sizes, argument, shape, "a tuple of whole numbers, the shape of X")
    expected = "an image: (height, width) or (height, width, channels)"
    require(not image or len(shape) in (2, 3), argument, shape, expected)
    return tuple(int(n) for n in shape)


def check_sizes(rngs: Any, num_classes: Any = 0, **sizes: Any) -> None:
    """Refuse sizes that are no whole numbers of at least 1, and what weights cannot be drawn from.

    Raises:
        InvalidInput: names the size.

    """
    for name, value in sizes.items():
        checked_whole(value, name)
    checked_whole(num_classes, "num_classes", 0)
    checked_kind(rngs, "rngs", nnx.Rngs, "an nnx.Rngs")
