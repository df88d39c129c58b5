"""Pages that mkdocs makes when it builds the site: commands, API, and the files of the top level.

Commands come from the typer apps, so that the page has the options that the program has; API pages name what the
packages export, and mkdocstrings fills in the docstrings.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
COMMANDS = {"hdmea": "hdmea.cli", "scptensor": "scpstore.cli", "h5burst": "h5burst.cli"}
ENGINE_ROOMS = ("read", "write", "copying", "model", "memory", "runtime")  # of the one module h5burst, a page each
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
    for name, content in _gallery().files().items():
        files.append(File.generated(config, name, content=content))
    return files


@cache
def _gallery() -> Any:
    """The module beside this one: mkdocs runs hooks without their directory among those of modules."""
    spec = importlib.util.spec_from_file_location("docs_gallery", Path(__file__).with_name("gallery.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the top level to the pages that are made of them; commands are copied without a prompt."""
    markdown = without_prompts(markdown)
    if page.file.src_uri == "gallery.md":
        markdown += f"\n{_gallery().text()}"
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
    """A page of names for each group of modules, and a page for each module: each name once, where it is defined."""
    return {
        place: text
        for name, (title, modules) in API.items()
        for place, text in {_page_of(name): _index_page(title, modules), **_module_pages(modules)}.items()
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of each module below the page of its group, where mkdocs.yml names that."""
    below = {_page_of(name): _module_pages(modules) for name, (_, modules) in API.items()}
    config.nav = _with_modules(config.nav, below)
    return config


def _with_modules(nav: Any, below: dict[str, dict[str, str]]) -> Any:
    if isinstance(nav, list):
        return [_with_modules(one, below) for one in nav]
    if not isinstance(nav, dict):
        return nav
    found = {}
    for title, place in nav.items():
        pages = below.get(place) if isinstance(place, str) else None
        modules = [{Path(page).stem: page} for page in pages or ()]
        found[title] = [{"Summary": place}, *modules] if modules else _with_modules(place, below)
    return found


def _page_of(name: str) -> str:
    return f"reference/api/{name}.md"


def _parts_of(modules: tuple[str, ...]) -> dict[str, tuple[Any, list[str]]]:
    """Page -> the module whose docstring it has, and the names; the one module of the engine by its rooms."""
    parts: dict[str, tuple[Any, list[str]]] = {}
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in _public_names(module):
            place = _place(getattr(module, name)) or ""
            room = place.split(".")[1] if module_name == "h5burst" and place.count(".") > 1 else ""
            key = f"h5burst.{room}" if room in ENGINE_ROOMS else module_name
            about = importlib.import_module(key) if room in ENGINE_ROOMS else module
            parts.setdefault(key, (about, []))[1].append(name)
    for _, names in parts.values():  # first what is called, then what that gives
        names.sort(key=lambda name: (name[:1].isupper(), name))
    return dict(sorted(parts.items(), key=lambda part: _place_of_room(part[0])))


def _place_of_room(page: str) -> int:
    """Rooms of the engine in the order of their list; all else stays as it is, ahead of them."""
    package, _, room = page.partition(".")
    return 1 + ENGINE_ROOMS.index(room) if package == "h5burst" and room in ENGINE_ROOMS else 0


def _index_page(title: str, modules: tuple[str, ...]) -> str:
    """What there is, a line each, with a link to where it is described."""
    parts = [f"# {title}"]
    for page, (_, names) in _parts_of(modules).items():
        module = importlib.import_module(page if page in modules else modules[0])
        parts += [f"## {page}", _table_of(module, names)]
    return "\n\n".join(parts) + "\n"


def _table_of(module: Any, names: list[str]) -> str:
    """A table of names: a line each, with a link to where it is described."""
    rows = [f"| {_link(module, name)} | {_first_line(getattr(module, name))} |" for name in names]
    return "\n".join(["| name | what |", "|---|---|", *rows])


def _link(module: Any, name: str) -> str:
    place = _place(getattr(module, name))
    return f"[`{name}`][{place}]" if place and not inspect.ismodule(getattr(module, name)) else f"`{name}`"


def _first_line(value: Any) -> str:
    is_described = inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)
    line = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return line.replace("|", "\\|") if is_described else "a constant"


def _module_pages(modules: tuple[str, ...]) -> dict[str, str]:
    pages = {}
    for page, (about, names) in _parts_of(modules).items():
        module = importlib.import_module(page if page in modules else modules[0])
        places = {name: _place(getattr(module, name)) for name in names}
        own = list(dict.fromkeys(place for place in places.values() if place and _homes()[place] == page))
        constants = [f"`{name}`" for name, place in places.items() if place is None]
        elsewhere = [_link(module, name) for name, place in places.items() if place and place not in own]
        described = [name for name, place in places.items() if place in own]
        table = _table_of(module, described) if len(described) > 1 else ""
        parts = [f"# {page}", _summary(about), table, *(f"::: {target}" for target in own)]
        parts += [f"Constants and types: {', '.join(constants)}."] if constants else []
        parts += [f"Also here: {', '.join(elsewhere)}."] if elsewhere else []
        pages[_page_of(f"modules/{page}")] = "\n\n".join(filter(None, parts)) + "\n"
    return pages


@cache
def _homes() -> dict[str, str]:
    homes: dict[str, str] = {}
    for _, modules in API.values():
        for page, (_, names) in _parts_of(modules).items():
            module = importlib.import_module(page if page in modules else modules[0])
            for name in names:
                homes.setdefault(_place(getattr(module, name)) or "", page)
    return homes


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
