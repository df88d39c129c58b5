"""Docstrings of what the packages export: numpydoc sections that say all of a call, and examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from h5burst.anndata import elements
from hdmea.features import FeatureRegistry
from support.docstring_examples import bring, make_example_files

MODULES = (
    "h5burst",
    "h5burst.accelerate",
    "h5burst.anndata",
    "h5burst.codecs.codec",
    "h5burst.codecs.registry",
    "scpstore",
    "scpstore.core",
    "scpstore.io",
    "hdmea.simulate",
    "hdmea",
    "hdmea.pipeline",
    "hdmea.io",
    "hdmea.features",
    "hdmea.geometry",
    "hdmea.spontaneous",
    "hdmea.population.activity",
    "hdmea.plot",
    "hdmea.report",
    "hdmea.bridges.tables",
    "hdmea.bridges.binned",
    "hdmea.bridges.nwb",
    "hdmea.bridges.nwb_read",
    "hdmea.spikeinterface",
    "hdmea.bridges.matlab",
    "hdmea.bridges.arrays",
    "hdmea.utils.exceptions",
    "scptensor",
    "scptensor.core",
    "scptensor.core.exceptions",
    "scptensor.io",
    "scptensor.io.serializers",
    "scpstore.report",
)
SECTIONS = (
    *("Parameters", "Attributes", "Methods", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes"),
    *("References", "Examples"),
)
# What computes by a method that somebody published, or that this project defines: the docstring says which.
NUMERICAL = (
    *("compute_sta", "extract_features", "extract_rf_geometry", "extract_soma_geometry", "fit_ln_model"),
    *("align_electrodes", "track_axons", "load_recording_with_eimage_sta"),
    *("align", "clean_image", "find_nerve_head", "fit_ln_models", "receptive_field", "soma_geometry", "track_axon"),
    *("bar_passages", "electrical_images", "firing_rates", "frames_at", "triggered_average"),
)
# What calls of this project return; nobody makes one by its constructor.
RETURNED = ("LazyArray", "LazyFile", "LazyGroup", "Log", "StateFile", "Transaction")
ARRAY = re.compile(r"\b(NDArray|ndarray|ArrayLike|Floats|Bools|Ints|Image|Samples)\b")
SHAPE = re.compile(r"\([\w*×+/…. ]+(, ?[\w*×+/…. −\[\]:-]+)*,?\)|scalar|one-dimensional|any shape")


def exports() -> dict[str, Any]:
    """Every function and class that the modules export, once, by its full name."""
    found: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for one in module.__all__ if hasattr(module, "__all__") else defined_in(module):
            value = getattr(module, one)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(f"{value.__module__}.{value.__qualname__}", value)
    return found


def defined_in(module: Any) -> list[str]:
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


VALUES = exports()
FUNCTIONS = {name: value for name, value in VALUES.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in VALUES.items() if inspect.isclass(value)}
ERRORS = {name: value for name, value in CLASSES.items() if issubclass(value, BaseException)}
METHODS = {
    f"{name}.{own}": function
    for name, value in CLASSES.items()
    for own, method in vars(value).items()
    if not own.startswith("_") and inspect.isfunction(function := getattr(method, "__func__", method))
}
WITH_EXAMPLES = [name for name, value in (VALUES | METHODS).items() if ">>>" in (inspect.getdoc(value) or "")]


def sections(value: object) -> dict[str, list[str]]:
    """The lines of each section of a docstring; those before the first section are under ""."""
    lines = (inspect.getdoc(value) or "").splitlines()
    rules = {n for n, (line, rule) in enumerate(pairwise(lines)) if line in SECTIONS and rule == "-" * len(line)}
    found: dict[str, list[str]] = {"": []}
    current = ""
    for n, line in enumerate(lines):
        if n in rules:
            current = line
            found[current] = []
        elif n - 1 not in rules:
            found[current].append(line)
    return found


def described(value: object, *names: str) -> dict[str, str]:
    """What these sections say of each name; several names may share a line: `a, b : int`."""
    entries: dict[str, str] = {}
    for name in names:
        current: list[str] = []
        for line in sections(value).get(name, ()):
            if line and not line.startswith(" "):
                head, _, kind = line.partition(" : ")
                current = [one.strip(" *") for one in head.split(",")]
                entries.update(dict.fromkeys(current, kind))
            else:
                for one in current:
                    entries[one] += " " + line.strip()
    return {name: text.strip() for name, text in entries.items()}


def is_small(function: Any) -> bool:
    """Whether a function's own lines are three at most: one line says what it does."""
    if not inspect.isfunction(function):
        return False
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    return bool(body) and (body[-1].end_lineno or 0) - body[0].lineno < 3


def parameters_of(value: Any) -> dict[str, str]:
    """The parameters of a call and their annotations as text."""
    if "__dataclass_fields__" in vars(value):
        return {field.name: str(field.type) for field in fields(value) if field.init and not field.name.startswith("_")}
    signature = inspect.signature(value)
    own = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    return {one.name: "" if one.annotation is one.empty else str(one.annotation) for one in own}


def raised_by(function: Any) -> set[str]:
    """The names of the errors that a function's own lines raise."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id.endswith("Error")}


def check_summary(value: object) -> None:
    summary = (inspect.getdoc(value) or "").partition("\n\n")[0]
    is_sentence = "\n" not in summary and summary.endswith((".", ":"))
    assert is_sentence, f"the first line is not a sentence: {summary!r}"


def check_entries(wanted: dict[str, str], entries: dict[str, str]) -> None:
    assert not [name for name in wanted if not entries.get(name)], "not described"
    unclear = [name for name, kind in wanted.items() if ARRAY.search(kind) and not SHAPE.search(entries[name])]
    assert not unclear, "arrays without a shape"


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ERRORS])
def test_an_export_begins_with_a_sentence_and_has_an_example(name: str) -> None:
    check_summary(VALUES[name])
    assert is_small(VALUES[name]) or ">>>" in "\n".join(sections(VALUES[name]).get("Examples", ()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_gives_and_raises(name: str) -> None:
    function = FUNCTIONS[name]
    if is_small(function) and not sections(function).keys() - {""}:
        return
    check_entries(parameters_of(function), described(function, "Parameters"))
    gives_nothing = inspect.signature(function).return_annotation in (None, "None")
    assert gives_nothing or {"Returns", "Yields"} & set(sections(function))
    said = " ".join(described(function, "Raises"))
    assert not {error for error in raised_by(function) if error not in said and not error.startswith("Already")}


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ERRORS])
def test_a_class_says_what_it_is_made_of(name: str) -> None:
    cls = CLASSES[name]
    if issubclass(cls, Enum):
        check_entries(dict.fromkeys(cls.__members__, ""), described(cls, "Attributes"))
    elif cls.__name__ in RETURNED:
        properties = [own for own, value in vars(cls).items() if isinstance(value, property) and own[0] != "_"]
        check_entries(dict.fromkeys(properties, ""), described(cls, "Attributes"))
    elif not (getattr(cls, "_is_protocol", False) or cls.__init__ is object.__init__):
        check_entries(parameters_of(cls), described(cls, "Parameters", "Attributes"))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_it_means_and_what_it_carries(name: str) -> None:
    cls = ERRORS[name]
    check_summary(cls)
    if "__init__" in vars(cls):
        wanted = {one: "" for one in parameters_of(cls) if one not in ("args", "kwargs")}
        assert not [one for one in wanted if one not in described(cls, "Parameters", "Attributes")]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_takes(name: str) -> None:
    method = METHODS[name]
    check_summary(method)
    if is_small(method) and not sections(method).keys() - {""}:
        return
    check_entries(parameters_of(method), described(method, "Parameters"))


def test_docstrings_begin_with_what_is_done() -> None:
    openings = []
    for path in sorted((Path(__file__).parents[1] / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node) or ""
                if re.match(r"(What|Whether|How|Where|Which|That)\b", text):
                    openings.append(f"{path}: {text.splitlines()[0]}")
    assert openings == []


@pytest.mark.parametrize("name", [name for name in VALUES if name.rpartition(".")[2] in NUMERICAL])
def test_a_numerical_method_names_its_source(name: str) -> None:
    assert {"Notes", "References"} & set(sections(VALUES[name]))


@pytest.fixture(scope="module")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docstrings")
    make_example_files(directory)
    return directory


@pytest.fixture
def _on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An example runs in its own directory, and no feature and no element that it registers stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(elements, "_writers", list(elements._writers))
    monkeypatch.setattr(elements, "_readers", dict(elements._readers))
    before = dict(FeatureRegistry._registry)
    yield
    FeatureRegistry._registry.clear()
    FeatureRegistry._registry.update(before)


@pytest.mark.usefixtures("_on_its_own")
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str, example_files: Path, tmp_path: Path) -> None:
    text = inspect.getdoc((VALUES | METHODS)[name]) or ""
    if "mudata" in text:
        pytest.importorskip("mudata")
    bring(example_files, text, tmp_path)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
