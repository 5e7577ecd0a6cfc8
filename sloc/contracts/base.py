"""Refusals of bad input, and the common base of processes and populations: registration, strong types, validation."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sloc.contracts.equality import same_fields

_T = TypeVar("_T")


# --------------------------------------------------------------------------------------------
# Refusing bad input
# --------------------------------------------------------------------------------------------


class InvalidInput(ValueError):
    """Input refused before tracing: the message names the argument, its value and what was expected."""


class ContractError(TypeError):
    """A class does not keep the contract it was used under (a method or a registration is missing)."""


def shown(value: object, limit: int = 80) -> str:
    """Return ``repr(value)`` on one line, shortened to ``limit`` characters; the class alone of a traced object.

    Addresses in memory, which say nothing to a reader and change from run to run, are left out.  Texts and paths may
    be twice as long, and lose their middle: the name of a file stands at its end.

    Args:
        value: to be shown.
        limit: most characters.

    Returns:
        The text.

    """
    if isinstance(value, Contract) and not is_concrete(value):
        return f"{type(value).__name__}(...)"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(value).split()))
    if isinstance(value, (str, os.PathLike)):
        return text if len(text) <= 2 * limit else f"{text[: limit - 3]}...{text[-limit:]}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def require(condition: bool, argument: str, value: object, expected: str) -> None:
    """Raise :class:`sloc.InvalidInput` unless ``condition`` holds.

    Args:
        condition: what must be true of the argument: one truth value.
        argument: the argument's name.
        value: the value that was given (shortened in the message).
        expected: what was expected, as a phrase that completes "expected ...".

    Raises:
        InvalidInput: if ``condition`` is false.
        ContractError: an array of several truth values; take ``all()`` of it, or ``any()``.

    """
    try:
        holds = bool(condition)
    except ValueError as error:
        words = "expected one truth value; take all() of an array, or any()"
        raise ContractError(f"condition = {shown(condition)}, of {argument}: {words}") from error
    if not holds:
        raise InvalidInput(f"{argument} = {shown(value)}: expected {expected}")


REFUSAL = re.compile(r"(?P<name>[^=\n]{1,60}?) = (?P<value>.*?): expected (?P<rest>.*)", re.DOTALL)
"""What ``require`` says, in its parts."""


@contextlib.contextmanager
def named(argument: str, *inner: str) -> Generator[None, None, None]:
    """Name an argument as the caller's signature does, in refusals of what it is handed on to.

    Args:
        argument: the name in the signature that people see.
        *inner: its names in the calls inside: ``path = ...: expected ...`` becomes ``argument = ...: expected ...``.

    Raises:
        InvalidInput: what is raised inside, in these words.

    """
    try:
        yield
    except InvalidInput as error:
        found = REFUSAL.fullmatch(str(error))
        if found is None or found["name"] not in inner:
            raise
        raise InvalidInput(argument + str(error).removeprefix(found["name"])) from error


def is_concrete(*trees: object) -> bool:
    """Whether no leaf is a tracer, so that values may be inspected on the host.

    Args:
        *trees: of arrays and numbers.

    Returns:
        Whether all can be read.

    """
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def float_dtype() -> np.dtype:
    """Return the floating dtype in force: float64 only when the caller has switched it on."""
    return np.dtype(jnp.result_type(float))


def namespace(*values: object) -> Any:
    """Return ``jax.numpy`` if a value is a JAX array, else ``numpy``.

    Coefficients written with it are evaluated in float64 on the host, where closed forms run, and
    in the working precision under ``jit``.

    Args:
        *values: that a formula is about.

    Returns:
        The module.

    """
    return jnp if any(isinstance(v, jax.Array) for v in values) else np


# --------------------------------------------------------------------------------------------
# The common base: registration, strong types, validation
# --------------------------------------------------------------------------------------------


def _annotations(cls: type) -> dict[str, Any]:
    """Return a class's own annotations; from Python 3.14 on names in them may not be defined yet."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


Asked = Mapping[str, tuple[str, ...]]
"""What methods are asked, by their names: for each argument in order a word of ``CHECKS``."""

CHECKS: dict[str, Callable[[Any, str, Mapping[str, Any], str], Any]] = {}
"""How an argument of a contract method is looked at, by the words of ``Asked``; filled by ``sloc.contracts.asked``.

A check that returns something says what the method is handed instead: the array that a list stands for.
"""


def _looked_at(method: Callable[..., Any], words: tuple[str, ...]) -> Callable[..., Any]:
    """Return a method that looks at its owner and arguments where nothing is traced, and is else as it was."""
    names, own = tuple(word.rstrip("[]?") for word in words), method.__name__

    @functools.wraps(method)
    def looking(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        # Without a name that is missing: Python says so where the method is called.
        if all(name in given for name in names) and not _traced(self, given):
            seen = {name: CHECKS[word](self, own, given, name) for word, name in zip(words, names, strict=True)}
            seen = {name: value for name, value in seen.items() if value is not None}
            args = (*map(seen.get, names, args), *args[len(names) :])
            kwargs = {name: seen.get(name, value) for name, value in kwargs.items()}
            self = self._called()
        return method(self, *args, **kwargs)

    return looking


def _traced(owner: object, given: Mapping[str, Any]) -> bool:
    if any(isinstance(value, Tracer) for value in given.values()):
        return True
    try:
        return not is_concrete(owner, *given.values())
    except (TypeError, ValueError):  # what is no tree is no tracer either
        return False


class Contract:
    """Base of processes and populations: pytree registration, casting and validation.

    A subclass is a frozen dataclass registered as a pytree (``@jax.tree_util.register_dataclass`` above
    ``@dataclass(frozen=True)``); its fields are the leaves, unless they are marked static.

    The contract's methods that this package writes refuse what they cannot take (:class:`InvalidInput`) where they are
    called with values; under a transformation of JAX they look at nothing.  What a class of yours writes is left as it
    is, and looks at nothing either.
    """

    _asked: ClassVar[Asked] = MappingProxyType({})
    """The methods that are looked at, which subclasses add to."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give each subclass that becomes a dataclass its own type as a static field, keyword only and not shown.

        JAX's ``register_dataclass`` leaves the type out when structures are compared, though not when they are hashed
        (jaxlib 0.10.2): ``OrnsteinUhlenbeck()`` and ``FlowMatching()`` have equal structures.  Where their hashes
        share a slot of the table of compiled functions, which is chance, one would run for the other.
        """
        super().__init_subclass__(**kwargs)
        own = dataclasses.field(default=cls, kw_only=True, repr=False, compare=False, metadata={"static": True})
        # By `type`, so that a type checker does not take these for attributes of every subclass.
        type.__setattr__(cls, "__annotations__", {**_annotations(cls), "_node_type": Any})
        type.__setattr__(cls, "_node_type", own)
        # One that a class of yours writes stays, and so do those that derive from it.
        if cls.__eq__ in (object.__eq__, same_fields):
            type.__setattr__(cls, "__eq__", same_fields)
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            for name, words in cls._asked.items():
                if inspect.isfunction(method := vars(cls).get(name)):
                    type.__setattr__(cls, name, _looked_at(method, words))

    def _called(self: _T) -> _T:
        """Return the object of which a method is asked where nothing is traced."""
        return self

    def validate(self) -> None:
        """Check concrete values, once, at the entry of a public call.

        Override and use :func:`require`.  Never validate in ``__post_init__``: unflattening calls
        it with tracers and placeholders.
        """

    def canonical(self: _T) -> _T:
        """Return a copy whose numeric leaves are strong-typed arrays.

        Without it a Python 2.0, then 3, then ``float32(3)`` would be three compilations.  Nested
        sequences of numbers become arrays.  A scalar becomes floating unless its field is annotated
        ``int`` or ``bool``; arrays keep their kind, except that a field with
        ``metadata={"dtype": float}`` is always floating.
        """
        changes = {}
        for f in dataclasses.fields(cast(Any, self)):
            if not f.metadata.get("static", False):
                changes[f.name] = _cast_field(f, getattr(self, f.name))
        return dataclasses.replace(cast(Any, self), **changes) if changes else self


def _cast_field(field: dataclasses.Field[Any], value: object) -> object:
    if isinstance(value, Contract):
        return value.canonical()
    if isinstance(value, (list, tuple)) and not any(isinstance(v, Contract) for v in value):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise InvalidInput(f"{field.name} = {shown(value)}: expected a rectangular array of numbers") from error
        require(value.dtype.kind in "biufc", field.name, value, "numbers")
    annotation = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    wants_float = field.metadata.get("dtype") is float
    return jax.tree.map(lambda leaf: _strong(leaf, wants_float, annotation), value)


def _strong(leaf: Any, wants_float: bool, annotation: str) -> Any:
    numeric = (bool, int, float, complex, np.ndarray, np.generic, jax.Array)
    if isinstance(leaf, Contract) or not isinstance(leaf, numeric):
        return leaf
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    kind = np.result_type(leaf) if not isinstance(leaf, jax.Array) else leaf.dtype
    if wants_float or (np.ndim(leaf) == 0 and jnp.issubdtype(kind, np.integer) and annotation not in ("int", "bool")):
        return jnp.asarray(leaf, float_dtype())
    if jnp.issubdtype(kind, np.floating):
        keep = kind if isinstance(leaf, jax.Array) else float_dtype()
        return jnp.asarray(leaf, keep)
    if jnp.issubdtype(kind, np.signedinteger):
        return jnp.asarray(leaf, jnp.result_type(int) if not isinstance(leaf, jax.Array) else kind)
    return jnp.asarray(leaf)


def check_registered(obj: object, argument: str, base: type) -> None:
    """Refuse an object that is not a registered pytree of the right base class.

    Args:
        obj: the process or population.
        argument: its name in the public call.
        base: :class:`ObservationProcess` or :class:`Population`.

    Raises:
        ContractError: wrong base class, missing ``register_dataclass`` decorator, or a static
            field that cannot be hashed.
        InvalidInput: a field of numbers that holds no array of real numbers.

    """
    name = type(obj).__name__
    if not isinstance(obj, base):
        raise ContractError(f"{argument} = {shown(obj)}: expected an instance of a subclass of sloc.{base.__name__}")
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(obj)) and jax.tree.leaves(obj)[:1] == [obj]:
        raise ContractError(
            f"{argument}: {name} is not registered as a pytree; put `@jax.tree_util.register_dataclass` "
            f"above `@dataclass(frozen=True)` on class {name} (a subclass needs its own decorators)"
        )
    if dataclasses.is_dataclass(obj):
        own = getattr(obj, "_node_type", None)
        if own is not type(obj):
            raise ContractError(
                f"{argument}: an object of {name} carries the type {shown(own)}; put `@dataclass(frozen=True)` on "
                f"class {name} itself, without slots, and do not hand `_node_type` on from an object of another class"
            )
        for f in dataclasses.fields(obj):
            value = getattr(obj, f.name)
            numbers = isinstance(value, (list, tuple)) and not any(isinstance(v, Contract) for v in value)
            if f.metadata.get("dtype") is float or (numbers and not f.metadata.get("static", False)):
                _check_numbers(f, value)
            if f.metadata.get("static", False):
                try:
                    hash(getattr(obj, f.name))
                except TypeError as error:
                    raise ContractError(
                        f"{argument}.{f.name} = {shown(getattr(obj, f.name))}: a static field must be hashable "
                        "(use a tuple, a str or a number; make an array a leaf instead)"
                    ) from error


def _check_numbers(field: dataclasses.Field[Any], value: object) -> None:
    """Refuse what is no array of real numbers, in a field that is always floating."""
    if (value is None and field.default is None) or not is_concrete(value):
        return
    if isinstance(value, jax.Array):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        real = real or value.dtype == jnp.bool_
    else:
        try:
            real = np.asarray(value).dtype.kind in "biuf" or jnp.issubdtype(np.asarray(value).dtype, jnp.floating)
        except (TypeError, ValueError):  # ragged
            real = False
    require(bool(real), field.name, value, "an array of real numbers")
    require(not isinstance(value, np.ma.MaskedArray), field.name, value, "an array without a mask")


def overrides(obj: object, base: type, method: str) -> bool:
    """Whether the class of ``obj`` replaces ``base``'s definition of ``method``, and ``obj`` can follow it.

    Args:
        obj: an object.
        base: a class that it derives from.
        method: name of a method.

    Returns:
        Whether it does.

    """
    return getattr(type(obj), method) is not getattr(base, method) and method not in getattr(obj, "absent", ())
