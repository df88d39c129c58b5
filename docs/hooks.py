"""Pages that mkdocs makes when it builds the site: commands, API, and the files of the top level.

Commands come from the typer apps, so that the page has the options that the program has; API pages name what the
packages export, and mkdocstrings fills in the docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
COMMANDS = {"hdmea": "hdmea.cli", "scptensor": "scpstore.cli", "h5burst": "h5burst.cli"}
# Page -> title, and the modules whose public names it has.
API = {
    "h5burst": ("h5burst", ("h5burst",)),
    "hdmea_pipeline": ("hdmea: sessions, steps, flows", ("hdmea.pipeline", "hdmea.utils.exceptions")),
    "hdmea_features": ("hdmea.features", ("hdmea.features",)),
    "hdmea_geometry": ("hdmea.geometry", ("hdmea.geometry",)),
    "hdmea_spontaneous": ("hdmea.spontaneous", ("hdmea.spontaneous", "hdmea.population.activity")),
    "hdmea_kernels": (
        "hdmea.kernels",
        tuple(
            f"hdmea.kernels.{name}"
            for name in (
                *("rates", "trains", "sections", "sta", "highpass", "eimage", "passages", "traces"),
                *("coincidences", "bursts"),
            )
        ),
    ),
    "hdmea_tools": (
        "hdmea: pictures, pages, simulation, bridges",
        (
            *("hdmea.plot", "hdmea.report", "hdmea.simulate", "hdmea.bridges.tables", "hdmea.bridges.binned"),
            *("hdmea.bridges.nwb", "hdmea.bridges.nwb_read", "hdmea.spikeinterface", "hdmea.bridges.matlab"),
            "hdmea.bridges.arrays",
        ),
    ),
    "scptensor": ("scptensor", ("scptensor", "scptensor.core", "scptensor.io", "scpstore.report")),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for name, text in made_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the top level to the pages that are made of them; commands are copied without a prompt."""
    markdown = without_prompts(markdown)
    up = "../" * (page.file.src_uri.count("/") + 1)
    for source, made in TOP_LEVEL.items():
        markdown = markdown.replace(f"]({up}{source}", f"]({up[3:]}{made}")
    return markdown


def without_prompts(markdown: str) -> str:
    """Blocks of `console` as blocks of commands without "$ ", which can be pasted, and of what they print."""

    def parted(block: re.Match[str]) -> str:
        parts: list[tuple[str, list[str]]] = []
        for line in block[1].splitlines():
            kind = "sh" if line.startswith("$ ") else "text"
            if not parts or parts[-1][0] != kind:
                parts.append((kind, []))
            parts[-1][1].append(line.removeprefix("$ "))
        return "\n\n".join("\n".join([f"```{kind}", *lines, "```"]) for kind, lines in parts)

    return re.sub(r"^```console\n(.*?)\n```$", parted, markdown, flags=re.M | re.S)


def made_pages() -> dict[str, str]:
    """Every page that is made: its place in the site, and its Markdown."""
    return {
        **{made: _moved(ROOT / source) for source, made in TOP_LEVEL.items()},
        **{f"reference/commands/{name}.md": command_page(name) for name in COMMANDS},
        **api_pages(),
    }


def _moved(source: Path) -> str:
    """A page of the top level as a page of docs/."""
    return re.sub(r"\]\(docs/", "](", source.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- commands


def command_page(program: str) -> str:
    """All commands of a program with their arguments, options and examples."""
    app = importlib.import_module(COMMANDS[program]).app
    group: Any = typer.main.get_command(app)
    parts = [f"# The command `{program}`", _text(app.info.help), _text(app.info.epilog)]
    for name, command in group.commands.items():
        if not command.hidden:
            parts += [f"## {program} {name}", *_paragraphs(command.help or ""), *_parameters(command)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    """Help as Markdown: what is printed as it stands, and examples, are blocks."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            title, _, lines = paragraph.strip("\b\n").partition("\n")
            yield f"{_text(title)}\n\n```sh\n{inspect.cleandoc(lines)}\n```"
        else:
            yield _text(paragraph)


def _parameters(command: Any) -> Iterator[str]:
    """Tables of a command's arguments and options."""
    types = typing.get_type_hints(inspect.unwrap(command.callback))
    arguments = [one for one in command.params if not one.opts[0].startswith("-")]
    options = [one for one in command.params if one.opts[0].startswith("-") and not one.hidden and one.name != "help"]
    if arguments:
        rows = [
            f"| `{one.name.upper()}` | {_text(one.help)}{'' if one.required else ' (optional)'} |" for one in arguments
        ]
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows])
    if options:
        rows = [f"| {_flags(one, types)} | {_text(one.help)} | {_default(one)} |" for one in options]
        yield "\n".join(["| option | meaning | default |", "|---|---|---|", *rows])


def _flags(option: Any, types: dict[str, Any]) -> str:
    value = "" if option.is_flag else f" {_type_name(types.get(option.name, str))}"
    return ", ".join(f"`{flag}{value}`" for flag in option.opts) + "".join(
        f", `{one}`" for one in option.secondary_opts
    )


def _type_name(kind: Any) -> str:
    """What a value is, in a word: PATH, TEXT, INTEGER, NUMBER."""
    kinds = [one for one in (typing.get_args(kind) or (kind,)) if one is not type(None)]
    names = {Path: "PATH", int: "INTEGER", float: "NUMBER"}
    return names.get(kinds[0], "TEXT")


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.multiple:
        return "may be repeated"
    if isinstance(option.show_default, str):
        return _text(option.show_default)
    shown = isinstance(option.default, (str, int, float, Path)) and not isinstance(option.default, bool)
    return f"`{option.default}`" if shown else ""


def _text(text: str | None) -> str:
    """Plain text on one line, safe inside a table; names of options as code."""
    line = re.sub(r"([\\|<>*_\[\]])", r"\\\1", " ".join((text or "").split()))
    return re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", line)


# ---------------------------------------------------------------- API


def api_pages() -> dict[str, str]:
    """A page for each group of modules: what they export, each name once, from the place where it is defined."""
    seen: set[str] = set()
    return {f"reference/api/{name}.md": _api_page(title, modules, seen) for name, (title, modules) in API.items()}


def _api_page(title: str, modules: tuple[str, ...], seen: set[str]) -> str:
    parts = [f"# {title}"]
    for module_name in modules:
        module = importlib.import_module(module_name)
        places = {name: _place(getattr(module, name)) for name in _public_names(module)}
        targets = list(dict.fromkeys(place for place in places.values() if place and place not in seen))
        constants = [f"`{name}`" for name, place in places.items() if place is None]
        elsewhere = [
            f"[`{name}`][{place}]"
            for name, place in places.items()
            if place and (place in seen or not place.endswith(f".{name}"))
        ]
        seen.update(targets)
        parts += [f"## {module_name}", _summary(module), *(f"::: {target}" for target in targets)]
        parts += [f"Constants and types: {', '.join(constants)}."] if constants else []
        parts += [f"Also here: {', '.join(elsewhere)}."] if elsewhere else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _public_names(module: Any) -> list[str]:
    """`__all__`, else the classes and functions that the module defines."""
    if hasattr(module, "__all__"):
        return sorted(name for name in module.__all__ if not name.startswith("__"))
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in defined if not name.startswith("_") and callable(getattr(module, name))]


def _place(value: Any) -> str | None:
    """The full name under which a class, a function or a module is defined; None for constants."""
    if inspect.ismodule(value):
        return value.__name__
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    return None


def _summary(module: Any) -> str:
    """The docstring of a module."""
    return inspect.cleandoc(module.__doc__ or "")
