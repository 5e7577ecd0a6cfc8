"""Accumulators on disk, by Orbax: written aside and renamed, several kept, each with a digest of its own."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.extras import need
from sloc.contracts.writing import write_whole
from sloc.engine.faults import CheckpointError, CheckpointWarning
from sloc.engine.fingerprint import FORMAT, digest_of, stage_name

MANIFEST = "manifest.json"
"""Names the versions, and the fingerprint of every stage, of the run that a folder holds."""
_KEPT = 3


class Store:
    """A folder that holds one run: any number of stages, each a long mean or a gathering, in whatever order.

    A stage is found by its fingerprint, so the same calls find their own stages again.  A folder whose first stage
    asked for is unknown to it belongs to another run, and is refused.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take a folder; nothing is read or written before a stage asks.

        Raises:
            InvalidInput: not a path, or a file.

        """
        ok = isinstance(path, (str, os.PathLike)) and bool(os.fspath(path))
        require(ok, "checkpoint", path, "the name of a folder")
        self.path: Path = Path(path).expanduser().absolute()
        require(not self.path.is_file(), "checkpoint", str(path), "a folder; this is a file")
        self._joined = False

    def stage(self, prints: dict[str, str]) -> Stage:
        """Return the stage of a fingerprint, and note it in the manifest.

        Raises:
            CheckpointError: the folder holds another run, or one of other versions (the message says what
                differs), or cannot be written to.
            InvalidInput: Orbax is not installed.

        """
        need("scale", "orbax.checkpoint", "a checkpoint")
        name, found = stage_name(prints), self._manifest()
        stages = found["stages"]
        if name not in stages and stages and not self._joined:
            raise CheckpointError(f"checkpoint = {str(self.path)!r}: {_difference(prints, stages)}")
        if name not in stages:
            stages[name] = prints
            try:
                self._write(found)
            except (OSError, InvalidInput) as error:
                reason = f"its {MANIFEST} could not be written ({error})"
                if not self._joined:
                    raise CheckpointError(f"checkpoint = {str(self.path)!r}: {reason}") from error
                warnings.warn(f"checkpoint {self.path}: {reason}; the run goes on", CheckpointWarning, stacklevel=2)
                return Stage(self.path / name, name, silent=True)
        self._joined = True
        return Stage(self.path / name, name)

    def _manifest(self) -> dict[str, Any]:
        file = self.path / MANIFEST
        if not file.exists():
            # A manifest written aside by a run that was killed before it could be put in place is no foreign file.
            own = f".{MANIFEST}."
            foreign = self.path.exists() and any(not p.name.startswith(own) for p in self.path.iterdir())
            if foreign:
                raise CheckpointError(
                    f"checkpoint = {str(self.path)!r}: expected an empty folder or one of a run; it holds other files"
                )
            return {"format": FORMAT, "stages": {}}
        try:
            found = json.loads(file.read_text("utf-8"))
            if found["format"] != FORMAT:
                raise CheckpointError(
                    f"checkpoint = {str(self.path)!r}: written in format {found['format']}, this version reads "
                    f"{FORMAT}; "
                    "finish it with the version that began it, or name another folder"
                )
            if not all(isinstance(s, dict) for s in (found["stages"], *dict(found["stages"]).values())):
                raise TypeError("its stages are no objects")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"checkpoint = {str(self.path)!r}: its {MANIFEST} cannot be read ({error}); remove the folder to "
                "start again"
            ) from error
        return found

    def _write(self, found: dict[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / MANIFEST, (json.dumps(found, indent=1) + "\n").encode(), "checkpoint")


def _difference(prints: dict[str, str], stages: dict[str, dict[str, str]]) -> str:
    """Say how a run differs from the nearest of those that a folder holds."""
    lead = ("sloc", "jax", "precision")

    def unlike(other: dict[str, str]) -> list[str]:
        return [k for k in (*prints, *(set(other) - set(prints))) if prints.get(k) != other.get(k)]

    nearest = min(stages.values(), key=lambda other: len(unlike(other)))
    items = unlike(nearest)
    said = [f"{k} {nearest.get(k)} there, {prints.get(k)} here" if k in lead else k for k in items]
    if any(k in lead for k in items):
        return (
            f"expected a checkpoint of these versions ({'; '.join(said)}): its numbers need not be the same to "
            "the bit; "
            "finish it with the version that began it, or name another folder"
        )
    return (
        f"expected an empty folder or a checkpoint of this run; it holds another one, which differs in "
        f"{', '.join(said)}; name another folder, or repeat that run"
    )


class Stage:
    """One long mean or one gathering of a run: numbered states, the newest readable of which counts."""

    def __init__(self, path: Path, name: str, silent: bool = False) -> None:
        """Open lazily; a ``silent`` stage keeps nothing."""
        self.path: Path = path
        self.name: str = name
        self.silent: bool = silent
        self._manager: Any = None

    def load(self) -> tuple[dict[str, Any], list[np.ndarray]] | None:
        """Return the newest state that can be read, ``(note, arrays)``, or None where there is none.

        A state that is cut off or does not fit its digest is passed over with a warning.

        Raises:
            CheckpointError: there are states, and none of them can be read.

        """
        if not self.path.exists():
            return None
        manager = self._open()
        steps = sorted(manager.all_steps(), reverse=True)
        reasons = []
        for step in steps:
            try:
                note, arrays = self._read(step)
            except Exception as error:
                reasons.append(f"{step}: {' '.join(str(error).split())[:160] or type(error).__name__}")
                continue
            if reasons:
                warnings.warn(
                    f"checkpoint {self.path}: passed over damaged states ({'; '.join(reasons)}); going on from {step}",
                    CheckpointWarning,
                    stacklevel=2,
                )
            return note, arrays
        if reasons:
            raise CheckpointError(
                f"checkpoint = {str(self.path)!r}: no state of it can be read ({'; '.join(reasons)}); "
                "remove the folder "
                "to start again"
            )
        return None

    def save(self, step: int, note: dict[str, Any], arrays: list[np.ndarray]) -> bool:
        """Write a state aside and put it in place; keep the last three.

        Returns:
            Whether it was written; a full disk or the like gives a warning, and the states before it stay.

        """
        if self.silent:
            return False
        import orbax.checkpoint as ocp

        note = {**note, "digest": digest_of(arrays)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            manager = self._open()
            if step in manager.all_steps():
                manager.delete(step)
            items = ocp.args.Composite(
                arrays=ocp.args.StandardSave({f"{i:05d}": np.asarray(a) for i, a in enumerate(arrays)}),
                note=ocp.args.JsonSave(note),
            )
            manager.save(step, args=items, force=True)
            manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            warnings.warn(
                f"checkpoint {self.path}: state {step} could not be written ({' '.join(str(error).split())[:200]}); "
                "the "
                "run goes on, and the states before it are kept",
                CheckpointWarning,
                stacklevel=2,
            )
            self.close()
            return False
        return True

    def close(self) -> None:
        """Let Orbax's threads go."""
        if self._manager is not None:
            with contextlib.suppress(Exception):
                self._manager.close()
            self._manager = None

    def _open(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp

            alone: dict[str, Any] = {}
            import jax

            if jax.process_count() > 1:
                own = jax.process_index()
                alone["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
                    primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"sloc-{own}"
                )
            options = ocp.CheckpointManagerOptions(
                max_to_keep=_KEPT, enable_async_checkpointing=False, create=not alone, **alone
            )
            self._manager = ocp.CheckpointManager(
                self.path,
                options=options,
                item_handlers={"arrays": ocp.StandardCheckpointHandler(), "note": ocp.JsonCheckpointHandler()},
            )
        return self._manager

    def _read(self, step: int) -> tuple[dict[str, Any], list[np.ndarray]]:
        import orbax.checkpoint as ocp

        found = self._open().restore(
            step, args=ocp.args.Composite(note=ocp.args.JsonRestore(), arrays=ocp.args.StandardRestore())
        )
        arrays = [np.asarray(found["arrays"][name]) for name in sorted(found["arrays"])]
        note = dict(found["note"])
        if digest_of(arrays) != note.pop("digest"):
            raise ValueError("its digest does not fit")
        return note, arrays
