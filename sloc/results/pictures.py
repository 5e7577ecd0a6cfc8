"""The `.plot()` of a result: results know no drawing; whoever assembles the package says what draws which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Drawing = Callable[..., Any]

_found: list[Callable[[str], Drawing]] = []


def drawn_by(find: Callable[[str], Drawing]) -> None:
    """Say how drawings are found.

    Args:
        find: the name of a drawing (``"curve"``) to the function that draws it; called when a picture is wanted, so
            that a plotting library is loaded no earlier.

    """
    _found[:] = [find]


def draw(name: str, result: Any, **options: Any) -> Any:
    """Draw a result by the drawing of that name.

    Args:
        name: of the drawing.
        result: to be drawn.
        options: of the drawing.

    Returns:
        What the drawing returns: axes, or a figure.

    """
    return _found[-1](name)(result, **options)
