"""Modules of the user's own, imported by name or by file: they register features, and every worker needs them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from hdmea.utils.exceptions import ConfigurationError

ENTRY_POINTS = "hdmea.features"  # group: installed packages that bring features


def resolved_modules(names: Iterable[str]) -> tuple[str, ...]:
    """The same modules for another process: files by their whole paths."""
    return tuple(str(Path(name).resolve()) if _is_file(name) else name for name in names)


def import_modules(names: Iterable[str]) -> None:
    """Import each module once: `package.module` as Python finds it, or a path that ends in `.py`.

    Raises `ConfigurationError` that names a module that cannot be imported, and why.
    """
    for name in names:
        try:
            if _is_file(name):
                _import_file(Path(name).resolve())
            else:
                importlib.import_module(name)
        except SystemExit as error:
            raise ConfigurationError(
                f"the module {name} cannot be imported: it ends the process (sys.exit, code {error.code}): "
                'put what it does as a script under `if __name__ == "__main__":`'
            ) from error
        except Exception as error:
            raise ConfigurationError(
                f"the module {name} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _import_file(path: Path) -> None:
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None:
        if getattr(loaded, "__file__", None) and Path(str(loaded.__file__)).resolve() == path:
            return
        raise ConfigurationError(f"a module of the name {name} is imported already, from {loaded.__spec__}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
