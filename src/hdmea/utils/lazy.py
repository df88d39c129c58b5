"""Names that are imported when they are first used, so that importing a package costs next to nothing (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def find_name(package: str, name: str, modules: Mapping[str, tuple[str, ...]]) -> Any:
    """The object called `name` that `package` exports: of one of `modules` (module -> its names), or a submodule.

    Raises `AttributeError`, as a module does, for a name that is neither.
    """
    for module, names in modules.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
