"""Docstrings of what the engine exports: numpydoc sections, and examples that run."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import h5burst

VALUES = {name: getattr(h5burst, name) for name in h5burst.__all__}
VERBS = {name: value for name, value in VALUES.items() if inspect.isfunction(value)}
CLASSES = {
    name: value for name, value in VALUES.items() if inspect.isclass(value) and not issubclass(value, BaseException)
}


def sections(value: object) -> set[str]:
    lines = (inspect.getdoc(value) or "").splitlines()
    return {line.strip() for line, rule in pairwise(lines) if rule and set(rule) == {"-"}}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_says_what_it_takes_gives_and_shows_it(name: str) -> None:
    function: Callable[..., Any] = VERBS[name]
    signature, found = inspect.signature(function), sections(function)
    assert "Parameters" in found or not signature.parameters
    assert {"Returns", "Yields"} & found or signature.return_annotation == "None"
    assert "Examples" in found


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_what_it_has(name: str) -> None:
    assert {"Parameters", "Attributes", "Methods", "Examples"} & sections(CLASSES[name])


@pytest.mark.parametrize("name", [*VERBS, *CLASSES])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    text = inspect.getdoc(VALUES[name]) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
