"""Libraries that come with an extra: asked for when they are used, and named with the extra where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from sloc.contracts.base import InvalidInput

_PACKAGES = {"sklearn": "scikit-learn", "orbax": "orbax-checkpoint"}
"""Packages whose modules bear another name."""


class MissingExtra(ModuleNotFoundError, InvalidInput):
    """A library that is not installed: an import that failed, and to a caller an input that is refused."""


def need(extra: str | None, module: str, purpose: str) -> Any:
    """Import a module, or say what needs it and what installs it.

    Args:
        extra: the extra of sloc that brings it; None where none does.
        module: its dotted name.
        purpose: what needs it, as the subject of a sentence.

    Returns:
        The module.

    Raises:
        MissingExtra: it, or what it imports, is not installed.

    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = (error.name or module).partition(".")[0]
        package = _PACKAGES.get(top, top)
        install = package if extra is None else f"'sloc[{extra}]'"
        said = f"{purpose} needs {package}, which is not installed: pip install {install}"
        raise MissingExtra(said, name=error.name or module) from error
