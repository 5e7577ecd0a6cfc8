"""What can go wrong in a long run, each with a message that says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used: it belongs to another run or version, or nothing of it can be read."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; the run goes on without it."""


class NotANumber(ArithmeticError):
    """A kernel returned NaN.

    Attributes:
        block: the first key block that holds one.
        stage: name of the run's stage (of its fingerprint), for ``Plan(replay=(stage, block))``.

    """

    def __init__(self, message: str, block: int, stage: str) -> None:
        super().__init__(message)
        self.block = block
        self.stage = stage


class Replayed(Exception):
    """One block, evaluated alone.

    Attributes:
        block: its number.
        stage: its run's stage.
        values: the kernel's values, a pytree of NumPy arrays.

    """

    def __init__(self, block: int, stage: str, values: Any) -> None:
        super().__init__(f"block {block} of stage {stage}")
        self.block = block
        self.stage = stage
        self.values = values


class OutOfMemory(MemoryError):
    """A device ran out of memory; the message names the settings to lower."""


@contextlib.contextmanager
def memory_advice(tile: int) -> Generator[None, None, None]:
    """Turn a device's complaint about memory into advice.

    Raises:
        OutOfMemory: the device ran out of memory.

    """
    try:
        yield
    except RuntimeError as error:  # jaxlib's runtime errors are RuntimeErrors
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        lower = "lower block= of the plan" if tile > 1 else "one block of 1,024 draws is already the least"
        raise OutOfMemory(
            f"a step of {tile} x 1,024 draws does not fit the device's memory: {lower}, ask for fewer times or "
            f"statistics at once, or use a device with more memory ({text.splitlines()[0][:200]})"
        ) from error
