"""A dict that is filled when it is first looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class FilledLater(dict[Key, Value]):
    """A dict whose content is fetched on first use by `_fill`, and an ordinary one from then on."""

    __slots__ = ()

    def _fill(self) -> None:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _filled_first(name: str) -> Any:
    method = getattr(dict, name)

    def call(self: FilledLater[Any, Any], *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return method(self, *args, **kwargs)

    call.__name__, call.__doc__ = name, method.__doc__
    return call


_METHODS = """
    __contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ __ror__
    __setitem__ clear copy get items keys pop popitem setdefault update values
"""
for _name in _METHODS.split():
    setattr(FilledLater, _name, _filled_first(_name))


class LazyDict(FilledLater[Any, Any]):
    """A dict that is filled on first use.

    Parameters
    ----------
    load : callable
        Called without arguments when the dict is first looked at; gives its content. What it raises is raised then, and
        at every use.

    Examples
    --------
    >>> from h5burst import LazyDict
    >>> lazy = LazyDict(lambda: {"a": 1})
    >>> lazy["a"]
    1
    """

    __slots__ = ("_load",)

    def __init__(self, load: Callable[[], dict[Any, Any]]) -> None:
        super().__init__()
        self._load: Callable[[], dict[Any, Any]] | None = load

    def _fill(self) -> None:
        if (load := self._load) is not None:
            content = load()
            if self._load is not None:  # else another thread was faster
                dict.update(self, content)
                self._load = None
