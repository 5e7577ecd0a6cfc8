"""Refusals in the words of the command line: options instead of argument names, plain values instead of Python's."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from sloc.contracts.base import REFUSAL


def option_text(message: str, options: Mapping[str, str]) -> str:
    """Rewrite a refusal ``name = repr: expected ...`` for people who typed options.

    Args:
        message: the text of an :class:`sloc.InvalidInput`.
        options: from argument names to what stands for them on the command line; other names stay.

    Returns:
        ``--name = value: expected ...``, the value as it would be typed (see ``plain_value``); a message of
        another form as it is.

    """
    found = REFUSAL.fullmatch(message)
    if found is None:
        return message
    name = options.get(found["name"], found["name"])
    return f"{name} = {plain_value(found['value'])}: expected {found['rest']}"


def plain_value(text: str) -> str:
    """Return a value as it would be typed, from its ``repr``: no quotes, brackets or type names.

    Text stands as it is (in quotes where it is empty or holds blanks), sequences are separated by commas, rows of
    sequences by semicolons; what cannot be read stays.
    """
    array = re.fullmatch(r"array\((.*?)(?:,\s*dtype=[^()]*)?\)", text, re.DOTALL)
    inner = array[1] if array else text
    scalar = re.fullmatch(r"np\.\w+\((.*)\)", inner)
    try:
        value = ast.literal_eval(scalar[1] if scalar else inner)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return inner[1:] if inner[:1] in ("'", '"') and inner.endswith("...") else inner
    return _typed(value)


def _typed(value: Any) -> str:
    if isinstance(value, (list, tuple, set)):
        rows = any(isinstance(v, (list, tuple)) for v in value)
        return (";" if rows else ",").join(_typed(v) for v in value)
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"'{value}'" if not value or re.search(r"\s", value) else value
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
