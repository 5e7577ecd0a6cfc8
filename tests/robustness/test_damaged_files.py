"""Files that are cut, changed or of another kind are refused in words that name them, or read right.

Nothing is random.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest.importorskip("flax")
pytest.importorskip("tokenizers")
pytest.importorskip("pyarrow")

from sloc.contracts import ContractError, InvalidInput
from sloc.engine import CheckpointError
from tests.robustness.calling import listing
from tests.robustness.files import FileKind, damaged, kinds, same
from tests.robustness.sweep import Hangs, within

SECONDS = 60
"""What reading one file may take: the first of them loads libraries, beside other work."""
KINDS = kinds()


def read(kind: FileKind, folder: Path, content: bytes) -> Any:
    """Return what is read where a folder holds a file."""
    for name, other in kind.beside().items():
        (folder / name).write_bytes(other)
    (folder / kind.file).write_bytes(content)
    with within(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("error")
        return kind.read(folder / kind.file)


def fault(kind: FileKind, folder: Path, way: str, good: bytes, content: bytes) -> str | None:
    """Return what is wrong with how a file is read; None if it is refused well, or may be read."""
    try:
        found = read(kind, folder, content)
    except (InvalidInput, ContractError, CheckpointError) as error:
        named = (kind.file, str(folder), *kind.said)
        return None if any(n in str(error) for n in named) else f"not named: {str(error)[:200]}"
    except Hangs:
        return f"no answer within {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if way == "cut" and kind.whole and content != good and content.strip() != good.strip():
        return "a file that is cut was read"
    if kind.sealed and way in ("cut", "changed") and not same(found, read(kind, folder, good)):
        return "a changed file was read as another one"
    return None


def faults(kind: FileKind, folder: Path, examples: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Return what is wrong with how damaged files of a kind are read."""
    patch.chdir(folder)
    good, found = kind.content(), list[str]()
    read(kind, folder, good)
    before = [name for name, _ in listing(folder)]

    def hand(drawn: tuple[str, bytes]) -> None:
        way, content = drawn
        said = fault(kind, folder, way, good, content)
        if said and len(found) < 20:
            found.append(f"{way}, {content[:60]!r}…: {said}")

    # The bytes of other kinds under this one's name, nothing, noise.
    for other in others():
        hand(("of another kind", other))
    settings = hypothesis.settings(max_examples=examples, database=None, derandomize=True, deadline=None)
    settings(hypothesis.given(damaged(kind, good))(hand))()
    assert [name for name, _ in listing(folder)] == before, "reading left files"
    return found


@functools.cache
def others() -> tuple[bytes, ...]:
    """Return what is no file of any kind, and a whole one of each."""
    text = b"\xef\xbb\xbf\xff\xfe\x00\x01\x1b[2J\n\n,,,\n" * 20
    return (b"", b"\n", b"null", b"[]", b"{}", b'"a"', b"[" * 100_000, text, bytes(1000), *(k.content() for k in KINDS))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_damaged_files_are_refused(kind: FileKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = faults(kind, tmp_path, 15, monkeypatch)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_damage_that_is_found_is_refused(kind: FileKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = faults(kind, tmp_path, 150, monkeypatch)
    assert not found, "\n".join(found)
