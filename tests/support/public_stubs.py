"""The stub of `hdmea.pipeline`, written from the sources of what it exports: `python tests/support/public_stubs.py`.

A step called with `session=` gives the session back, else its own result: two overloads, which its source, with one
signature, does not say.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from hdmea.public import PUBLIC_NAMES

SOURCE = Path(__file__).parents[2] / "src"
STUB = SOURCE / "hdmea" / "pipeline" / "__init__.pyi"
SESSION = "PipelineSession"


def pipeline_stub() -> str:
    """The text of the stub."""
    imports = {"from typing import overload"}
    bodies = []
    for name, module in PUBLIC_NAMES.items():
        tree = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text("utf-8"))
        function = _function(tree, name)
        if function is None or "session" not in _parameters(function):
            imports.add(_export(name))
            continue
        bodies += _overloads(function)
        imports.update(_imports(tree, module, _names_in_annotations(function)))
    head = "# Made by tests/support/public_stubs.py from what hdmea.public names: not to be edited."
    return "\n".join([head, *sorted(imports), "", *bodies, ""])


def _function(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _parameters(function: ast.FunctionDef) -> dict[str, ast.arg]:
    return {one.arg: one for one in (*function.args.args, *function.args.kwonlyargs)}


def _overloads(function: ast.FunctionDef) -> Iterator[str]:
    """Without a session the step's own result, with one the session."""
    assert function.returns is not None
    own = ast.unparse(function.returns).replace(f" | {SESSION}", "")
    yield from _signature(function, ", session: None = None", own)
    yield from _signature(function, f", session: {SESSION}", SESSION)
    if "session" in {one.arg for one in function.args.args}:
        before = [one for one in function.args.args if one.arg != "session"]
        words = ", ".join(f"{one.arg}: {_annotation(one)}" for one in (*before, _parameters(function)["session"]))
        yield from (
            "@overload",
            f"def {function.name}({words.replace(f'{SESSION} | None', SESSION)}) -> {SESSION}: ...",
        )


def _signature(function: ast.FunctionDef, session: str, returns: str) -> tuple[str, str]:
    args = function.args
    assert args.vararg is None
    assert args.kwarg is None
    required = len(args.args) - len(args.defaults)
    words = [
        f"{one.arg}: {_annotation(one)}" + (" = ..." if number >= required else "")
        for number, one in enumerate(args.args)
        if one.arg != "session"
    ]
    words.append("*")
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if one.arg != "session":
            words.append(f"{one.arg}: {_annotation(one)}" + ("" if default is None else " = ..."))
    return "@overload", f"def {function.name}({', '.join(words)}{session}) -> {returns}: ..."


def _annotation(argument: ast.arg) -> str:
    assert argument.annotation is not None
    return ast.unparse(argument.annotation)


def _names_in_annotations(function: ast.FunctionDef) -> set[str]:
    annotations = [*(one.annotation for one in _parameters(function).values()), function.returns]
    return {node.id for one in annotations if one is not None for node in ast.walk(one) if isinstance(node, ast.Name)}


def _imports(tree: ast.Module, module: str, names: set[str]) -> Iterator[str]:
    """What brings these names into the stub: the module's own imports of them, or an import from the module."""
    public = {name for name in names if name in PUBLIC_NAMES}
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
    defined = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
               if isinstance(target, ast.Name)}  # fmt: skip
    for name in sorted(names - public):
        if name in imported:
            yield f"from {imported[name][0]} import {imported[name][1]}"
        elif name in defined:
            yield f"from {module} import {name}"
    yield from map(_export, public)


def _export(name: str) -> str:
    """The line that exports a public name, of the module that defines it."""
    value = getattr(importlib.import_module(PUBLIC_NAMES[name]), name)
    return f"from {getattr(value, '__module__', PUBLIC_NAMES[name])} import {name} as {name}"


if __name__ == "__main__":
    STUB.write_text(pipeline_stub(), "utf-8")
