"""The layers and rooms of docs/architecture.md, read from the source: an import only ever points down."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.public_stubs import STUB, pipeline_stub

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

# The top room of hdmea: modules that are other modules under the paths by which scripts import. They stand in folders
# of lower rooms, where Python looks for them; nothing of ours imports them.
PATHS_OF_SCRIPTS = "paths of scripts"

# Lower rooms first. A room imports from those before it, and from itself.
ENGINE = (
    *("_ext", "runtime", "model", "codecs", "arrays", "format", "read"),
    *("memory", "write", "checking", "copying", "store", "page", "anndata"),
    *("direct_chunks", "accelerate", "auto", "dicts", "differences", "describing", "changed", "following"),
    *("installation", "benching", "console", "progress", "starting", "commands", "cli", "__main__"),
)
HDMEA = (
    *("utils", "step_table", "public", "kernels", "geometry", "session", "io", "features", "spontaneous", "steps"),
    *("plot", "report", "bridges", "simulate", "batch", "population"),
    *("pipeline", "demo", "demo_full", "lab_book", "script_check", "cli", "__main__", PATHS_OF_SCRIPTS),
)
SCPSTORE = ("core", "io", "report", "accelerate", "states", "cli", "__main__")
ROOMS = {"h5burst": ENGINE, "hdmea": HDMEA, "scpstore": SCPSTORE}
DOMAINS = ("hdmea", "scpstore", "scptensor")


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        found[".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def is_path_of_scripts(name: str) -> bool:
    """True for a module that is another one, under the path by which scripts import it."""
    return name in modules() and "sys.modules[__name__] =" in modules()[name].read_text(encoding="utf-8")


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def imports_of(name: str) -> tuple[str, ...]:
    """Modules of this project that a module imports, wherever in it."""
    return tuple(_imports_of(name))


def _imports_of(name: str) -> Iterator[str]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in (*ROOMS, "scptensor"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            if node.module and node.module.split(".")[0] in (*ROOMS, "scptensor"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in modules() or node.module == "h5burst._ext" else node.module


def room_of(name: str) -> str | None:
    """The room of a module, or its own name where it is one; None for the package itself."""
    if is_path_of_scripts(name):
        return PATHS_OF_SCRIPTS
    top, *rest = name.split(".")
    return rest[0] if rest and rest[0] in ROOMS.get(top, ()) else None


def test_the_rooms_are_there() -> None:
    for top, rooms in ROOMS.items():
        there = {room_of(name) for name in modules() if name.startswith(f"{top}.")}
        assert set(rooms) - {"_ext"} <= there


def test_every_module_is_in_a_room() -> None:
    assert [name for name in modules() if "." in name and name.split(".")[0] in ROOMS and room_of(name) is None] == []


def test_paths_of_scripts_hold_nothing_of_their_own() -> None:
    bodies = {name: tree_of(name).body for name in modules() if is_path_of_scripts(name)}
    kinds = (ast.Import, ast.ImportFrom, ast.If)
    assert bodies
    assert [name for name, body in bodies.items() if not all(isinstance(one, kinds) for one in body[1:])] == []


@pytest.mark.parametrize("top", ROOMS)
def test_imports_between_rooms_point_down(top: str) -> None:
    order, wrong = ROOMS[top], []
    for name in modules():
        room = room_of(name)
        if not name.startswith(f"{top}.") or room is None:
            continue
        for target in imports_of(name):
            other = room_of(target)
            if target.split(".")[0] == top and other is not None and order.index(other) > order.index(room):
                wrong.append(f"{name} -> {target}")
    assert not wrong


def test_the_engine_knows_no_domain() -> None:
    engine = [name for name in modules() if name.split(".")[0] == "h5burst"]
    assert [n for n in engine if any(target.split(".")[0] in DOMAINS for target in imports_of(n))] == []


def test_domains_do_not_know_each_other() -> None:
    assert [n for n in modules() if n.startswith("hdmea") and any("scp" in t for t in imports_of(n))] == []
    assert [n for n in modules() if n.startswith("scp") and any("hdmea" in t for t in imports_of(n))] == []


def test_domains_use_what_the_engine_exports() -> None:
    """Kernels that are a domain's own have their compiled part beside the engine's."""
    allowed = ("h5burst", "h5burst.console", "h5burst.codecs", "h5burst.anndata", "h5burst.page", "h5burst.progress")
    wrong = [
        f"{name} -> {target}"
        for name in modules()
        if name.split(".")[0] in DOMAINS
        for target in imports_of(name)
        if target.startswith("h5burst") and target not in allowed and not target.startswith("h5burst._ext")
    ]
    assert set(wrong) == set()


def test_compiled_modules_import_nothing_of_ours() -> None:
    pattern = re.compile(r"^\s*(?:from|import|cimport)\s+((?:h5burst|hdmea|scpstore|scptensor)\S*)", re.M)
    sources = [*(ROOT / "ext").rglob("*.pyx"), *(ROOT / "ext").rglob("*.pxi")]
    wrong = {source.name: found for source in sources if (found := pattern.findall(source.read_text(encoding="utf-8")))}
    assert sources
    assert set(wrong) == set()


def test_compiled_sources_have_no_long_lines() -> None:
    """As ruff has it of Python's."""
    sources = [path for suffix in ("pyx", "pxi", "h") for path in (ROOT / "ext").rglob(f"*.{suffix}")]
    lines = ((path.name, n, line) for path in sources for n, line in enumerate(path.read_text("utf-8").split("\n"), 1))
    assert sources
    assert [(name, n) for name, n, line in lines if len(line) > 120] == []


def test_nothing_imports_what_changes_h5py() -> None:
    """`h5burst.auto` is for programs to import; the module that a virtual environment starts with does it for them."""
    for_programs = ("h5burst.auto", "h5burst.auto.__main__", "h5burst.auto.starter")
    wrong = [name for name in modules() if name not in for_programs and "h5burst.auto" in imports_of(name)]
    assert wrong == []


def in_circles(graph: dict[str, set[str]]) -> list[str]:
    """What is left when all is taken away that needs nothing that is left."""
    while removable := [name for name, targets in graph.items() if not targets & set(graph)]:
        for name in removable:
            del graph[name]
    return sorted(graph)


def test_files_do_not_import_in_circles() -> None:
    own = [name for name in modules() if name != "h5burst"]
    assert (
        in_circles({name: {target for target in imports_of(name) if target in modules()} - {name} for name in own})
        == []
    )


def test_folders_within_rooms_do_not_import_in_circles() -> None:
    """A folder in a room counts as one file, but for its `__init__`, which exports."""
    folders = {name for name in modules() if name.count(".") >= 2 and modules()[name].name == "__init__.py"}

    def unit_of(name: str) -> str:
        return next((folder for folder in folders if name.startswith(f"{folder}.")), name)

    graph: dict[str, set[str]] = {}
    for name in set(modules()) - folders:
        if name.count(".") >= 2:
            targets = {unit_of(target) for target in imports_of(name) if target in modules()}
            graph.setdefault(unit_of(name), set()).update(targets - {unit_of(name)})
    assert len(graph) > 100
    assert in_circles(graph) == []


@pytest.mark.parametrize("package", ["h5burst", "hdmea", "hdmea.plot", "hdmea.report"])
def test_every_line_of_a_stub_is_an_export_and_there_is_what_it_names(package: str) -> None:
    lines = modules()[package].with_suffix(".pyi").read_text(encoding="utf-8").splitlines()
    module = importlib.import_module(package)

    assert {line.split()[-1] for line in lines if line and "__version__" not in line} == set(module.__all__)
    for name in module.__all__:
        getattr(module, name)


def test_the_stub_of_the_pipeline_says_what_the_sources_say() -> None:
    assert STUB.read_text("utf-8") == pipeline_stub(), "python tests/support/public_stubs.py writes it anew"


# ---------------------------------------------------------------- sizes of calls

MAX_PARAMETERS = 8
# Calls of scripts that have more, keyword by keyword: other programs' names, or published with the first version.
WIDE_CALLS = {
    "hdmea.steps.analog_sections.add_section_time_analog",
    "hdmea.steps.eimage.compute_eimage_sta",
    "hdmea.steps.flows.run_flow",
    "hdmea.steps.load_with_images.load_recording_with_eimage_sta",
    "hdmea.steps.section_by_direction.section_by_direction",
    "hdmea.steps.section_time.add_section_time",
    "scpstore.io.exporters.save_hdf5",
    "scpstore.io.writer.__init__",
    "hdmea.batch.run.run_batch",
    "hdmea.simulate.recording.simulate_recording",
}


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether this is a program's command: one parameter an option, as typer wants it."""
    return any("typer." in ast.unparse(argument.annotation) for argument in function.args.args if argument.annotation)


def test_calls_are_not_wide() -> None:
    """Options travel in small data classes."""
    wide = set()
    for name in modules():
        for node in ast.walk(tree_of(name)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_command(node):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len([one for one in given if one.arg not in ("self", "cls")]) > MAX_PARAMETERS:
                    wide.add(f"{name}.{node.name}")
    assert wide == WIDE_CALLS


# Names that two published modules have, and a unit's record with the protocol of what is written of it.
SHARED_CLASS_NAMES = {"CmcrRecording", "Status", "ValidationError"}


def test_a_class_name_means_one_thing() -> None:
    """Other classes of one name are private, each to its module."""
    found = Counter(
        node.name
        for name in modules()
        for node in tree_of(name).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in found.items() if count > 1} == SHARED_CLASS_NAMES
