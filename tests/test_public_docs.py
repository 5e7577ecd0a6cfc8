"""What the docstrings of public names must say, and where their roles lead."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
import public_roles


def test_roles_lead_to_public_names() -> None:
    assert public_roles.astray() == []


def test_a_role_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    lines = [
        '"""Public: :func:`sloc.tv`, :class:`~sloc.windows.Recording`, :meth:`a part <sloc.windows.Recording.merged>`.',
        "",
        "Near: :class:`Recording`, :class:`TV`, :meth:`Recording.merged`.",
        "Far: :func:`json.dumps`, :mod:`sloc.windows`.",
        "Not: :func:`sloc.windows.recorded.make_recording`, :mod:`sloc.windows.recorded`.",
        "Nor: :meth:`merged`, :data:`_MOST`.",
        '"""',
        "class Recording:",
        '    """Its own: :meth:`merged`; none of it: :meth:`unmerged`."""',
    ]
    (tmp_path / "sloc" / "windows").mkdir(parents=True)
    (tmp_path / "sloc" / "windows" / "made_up.py").write_text("\n".join(lines))
    found = [row.rpartition(": ")[2] for row in public_roles.astray(tmp_path / "sloc")]
    lost = ["func:`sloc.windows.recorded.make_recording`", "mod:`sloc.windows.recorded`", "meth:`merged`"]
    assert found == [f":{role}" for role in (*lost, "data:`_MOST`", "meth:`unmerged`")]
