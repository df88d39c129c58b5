"""Check that an argument's value is of the kind that its step's function says, before the step is run."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hdmea.step_table import STEPS
from hdmea.utils.exceptions import ConfigurationError

_MOST = 2**63  # of whole numbers, as compiled code takes them
_MAX_SECONDS = 1e10  # some centuries
_POSITIVE = ("length_s", "step_s")


def check_argument(step: str, name: str, value: Any) -> None:
    """Raise `ConfigurationError` that names step, argument and what is expected."""
    hint = _hint(STEPS[step].function, name)
    if not _fits(value, hint):
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
        raise ConfigurationError(f"{step}.{name} must be {_words(hint)}, not {shown}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name.endswith(("_s", "_hz")):
        least = "more than 0" if name in _POSITIVE else "at least 0"
        if value < 0 or (value == 0 and name in _POSITIVE) or value > _MAX_SECONDS:
            raise ConfigurationError(f"{step}.{name} must be {least} and at most {_MAX_SECONDS:g}, not {value:g}")


def _hint(function: Callable[..., Any], name: str) -> Any:
    """Annotation of one argument; Any where that names what is not imported when the program runs."""
    annotation = getattr(function, "__annotations__", {}).get(name, Any)
    alone = types.SimpleNamespace(__annotations__={name: annotation})
    namespace = {**vars(typing), "Path": Path, "Sequence": Sequence, "Mapping": Mapping}
    try:
        return typing.get_type_hints(alone, {**namespace, **getattr(function, "__globals__", {})})[name]
    except (NameError, TypeError):
        return Any


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint in (int, float):
        return _is_number(value, whole=hint is int)
    if hint is str:
        return isinstance(value, str)
    if hint is Path:
        return isinstance(value, (str, Path))
    if origin is tuple and parts[-1] is not Ellipsis:
        return _is_list(value) and len(value) == len(parts) and all(map(_fits, value, parts))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _is_list(value) and all(_fits(item, parts[0]) for item in value)
    return True


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, int):
        return abs(value) < _MOST
    return math.isfinite(value) and (not whole or (value.is_integer() and abs(value) < _MOST))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _words(hint: Any) -> str:
    """Describe for people what a hint asks for."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts))
    if origin is typing.Literal:
        return " or ".join(map(repr, parts))
    if origin is tuple and parts[-1] is not Ellipsis:
        return f"a list of {len(parts)}: {', '.join(map(_words, parts))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "an object of names and values"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each {_words(parts[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return "null" if hint is type(None) else names.get(hint, "something else")
