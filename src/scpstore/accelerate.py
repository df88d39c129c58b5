"""Fast files for the classes of another package that is called `scptensor`, and how that is taken back."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from scpstore.core.exceptions import MissingDependencyError, ScpTensorError
from scpstore.core.extras import Extras
from scpstore.core.files import checked_suffix
from scpstore.core.structures import AggregationLink, Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix
from scpstore.io.classes import Classes
from scpstore.io.exceptions import IOFormatError
from scpstore.io.exporters import save_hdf5
from scpstore.io.importers import load_as

_OURS: dict[str, type] = {
    "container": ScpContainer, "assay": Assay, "matrix": ScpMatrix, "metadata": MatrixMetadata,
    "history": ProvenanceLog, "link": AggregationLink,
}  # fmt: skip
_STRUCTURE_MODULES = ("core.structures", "core", "")
_ERROR_MODULES = ("io.exceptions", "io", "core.exceptions", "core", "")
_MISSING = object()
_changes: list[tuple[Any, str, Any]] = []  # what was set on what, and what was there before


def accelerate(package: str = "scptensor") -> list[str]:
    """Let the containers of the installed package save and load by this one.

    Adds or replaces, until `undo`, `ScpContainer.save` and `.load` of that package and `save_hdf5` and `load_hdf5` in
    it and in its module `io`. Its own classes go in and come out, and errors are of its classes of the same name
    where it has them.

    Parameters
    ----------
    package
        The import name of the package.

    Returns
    -------
    list of str
        What was set; empty where that package is ours, which needs nothing of this, or was accelerated before.

    Raises
    ------
    MissingDependencyError
        There is no such package, or it has no `ScpContainer`, `Assay` and `ScpMatrix`.

    Examples
    --------
    >>> from scpstore import accelerate
    >>> accelerate("scptensor")  # this project's own drop-in needs nothing of it
    []
    """
    try:
        root = importlib.import_module(package)
    except ImportError as error:
        raise MissingDependencyError(package, f"there is no package {package} to accelerate: {error}") from error
    theirs = {field: _found(package, _STRUCTURE_MODULES, ours.__name__) for field, ours in _OURS.items()}
    needed = [_OURS[field].__name__ for field in ("container", "assay", "matrix") if theirs[field] is None]
    if needed:
        raise MissingDependencyError(
            package, f"{package} at {root.__file__} has no {', '.join(needed)}: not a package of containers"
        )
    if theirs["container"] is ScpContainer or any(target is theirs["container"] for target, _, _ in _changes):
        return []
    functions = _Functions(package, Classes(**{name: _factory(theirs[name] or _OURS[name]) for name in _OURS}))
    return _install(root, theirs["container"], functions)


def undo() -> None:
    """Take back all that `accelerate` has set.

    Examples
    --------
    >>> from scpstore import undo
    >>> undo()
    """
    while _changes:
        target, name, before = _changes.pop()
        if isinstance(target, dict):
            target.pop(name, None)
        elif before is _MISSING:
            delattr(target, name)
        else:
            setattr(target, name, before)


# ---------------------------------------------------------------- what is set


class _Functions:
    """The functions that are set, for the classes of one package."""

    def __init__(self, package: str, classes: Classes) -> None:
        self._package, self._classes = package, classes
        self.save_hdf5 = self._with_their_errors(save_hdf5)
        self.load_hdf5 = self._with_their_errors(self._load)

    def _load(self, path: Any) -> Any:
        """As `scpstore.load_hdf5`, built of the classes of this package."""
        return load_as(path, self._classes)

    def methods(self) -> dict[str, Any]:
        """`save` and `load` as members of a class."""
        save, load = self.save_hdf5, self.load_hdf5

        def save_method(
            container: Any,
            path: Any,
            *,
            compression: str | None = "gzip",
            compression_level: int = 4,
            overwrite: bool = False,
        ) -> None:
            """Write this container as an HDF5 file; see `scpstore.save_hdf5`."""
            target = checked_suffix(path)
            save(container, target, compression=compression, compression_level=compression_level, overwrite=overwrite)

        def load_method(cls: type, path: Any) -> Any:
            """The container in an HDF5 file; see `scpstore.load_hdf5`."""
            return load(checked_suffix(path))

        return {"save": save_method, "load": classmethod(load_method)}

    def _with_their_errors(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except ScpTensorError as error:
                translated = self._translated(error)
                if translated is None:
                    raise
                raise translated from error

        return call

    def _translated(self, error: ScpTensorError) -> BaseException | None:
        """The error as theirs of the same name; None where they have none, or one that is made in another way."""
        kind = _found(self._package, _ERROR_MODULES, type(error).__name__)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)) or isinstance(error, kind):
            return None
        try:
            return kind(str(error))
        except TypeError:
            return None


def _install(root: ModuleType, container: type, functions: _Functions) -> list[str]:
    package = root.__name__
    done = []
    for name, member in functions.methods().items():
        _set(container, name, member)
        done.append(f"{package}.{container.__name__}.{name}")
    modules = [(package, root)] if hasattr(root, "save_hdf5") or hasattr(root, "load_hdf5") else []
    modules.append((f"{package}.io", _io_module(root)))
    for path, module in modules:
        for name in ("save_hdf5", "load_hdf5"):
            _set(module, name, getattr(functions, name))
            done.append(f"{path}.{name}")
    return done


def _io_module(root: ModuleType) -> ModuleType:
    """The package's module `io`; one without anything else where it has none."""
    name = f"{root.__name__}.io"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    io = ModuleType(name, "Files of containers, by scpstore.")
    _changes.append((sys.modules, name, _MISSING))
    sys.modules[name] = io
    _set(root, "io", io)
    return io


def _set(target: Any, name: str, value: Any) -> None:
    _changes.append((target, name, vars(target).get(name, _MISSING)))
    setattr(target, name, value)


def _found(package: str, modules: tuple[str, ...], name: str) -> Any:
    """The first thing of that name in these modules of a package, None where there is none."""
    for module in modules:
        try:
            member = getattr(importlib.import_module(f"{package}.{module}".rstrip(".")), name, None)
        except ImportError:
            continue
        if member is not None:
            return member
    return None


# ---------------------------------------------------------------- objects of their classes


def _factory(cls: Any) -> Callable[..., Any]:
    """Calls `cls` with the fields that its constructor takes, and sets the others where its objects have room."""
    parameters = inspect.signature(cls).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

    def make(**fields: Any) -> Any:
        arguments = {name: value for name, value in fields.items() if takes_all or name in parameters}
        try:
            built = cls(**arguments)
        except Exception as error:
            raise IOFormatError(f"{cls.__module__}.{cls.__qualname__} refuses it: {error}") from error
        for name, value in fields.items():
            if name not in arguments and not _is_default(name, value):
                _set_field(built, name, value)
        return built

    return make


def _is_default(name: str, value: Any) -> bool:
    if name in ("sample_id_col", "feature_id_col"):
        return bool(value == "_index")
    return value is None or (isinstance(value, Extras) and value.is_empty()) or (isinstance(value, list) and not value)


def _set_field(built: Any, name: str, value: Any) -> None:
    try:
        object.__setattr__(built, name, value)
    except AttributeError:
        kind = type(built)
        message = f"{kind.__module__}.{kind.__qualname__} has no room for {name}: it is left out"
        warnings.warn(message, UserWarning, stacklevel=4)
