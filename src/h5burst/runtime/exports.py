"""Names that a package exports and that are imported when they are first used (PEP 562).

Which these are, its stub `__init__.pyi` alone says, to type checkers and to Python: one line each, of the form
`from module import name as name`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

_EXPORT = re.compile(r"^from (\S+) import ([^\W_]\w*) as \2$", re.MULTILINE)


def stub_exports(init_file: str) -> dict[str, str]:
    """Names to modules, as the stub of a package says; `init_file` is the package's `__file__`.

    Parameters
    ----------
    init_file
        The package's `__file__`; its stub is beside it.

    Returns
    -------
    dict
        Of each exported name the module that it is imported from.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.stub_exports(h5burst.__file__)["save"]
    'h5burst.dicts'
    """
    with open(os.path.splitext(init_file)[0] + ".pyi", encoding="utf-8") as stub:
        return {name: module for module, name in _EXPORT.findall(stub.read())}


def find_export(package: str, name: str, exports: Mapping[str, str]) -> Any:
    """An export of a package by its name: of one of its modules, or a module below the package.

    Parameters
    ----------
    package
        The package's name.
    name
        What is looked for.
    exports
        As `stub_exports` gives them.

    Returns
    -------
    object
        What the module has under that name.

    Raises
    ------
    AttributeError
        As a module does, for a name that the package has not.

    Examples
    --------
    >>> from h5burst import find_export
    >>> find_export("h5burst", "save", {"save": "h5burst.dicts"}).__name__
    'save'
    """
    module = exports.get(name, package)
    if module != package:
        export = importlib.import_module(module)
        if hasattr(export, name):
            return getattr(export, name)
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{module}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{module}.{name}":
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
