"""The README keeps its promises: examples run, commands are those that are tested, tables agree with the docs."""

from __future__ import annotations

import re
from pathlib import Path

from support.docs_examples import run_examples

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_example_runs(tmp_path: Path) -> None:
    run_examples(ROOT / "README.md", tmp_path, timeout_s=280)


def test_the_first_example_has_ten_lines() -> None:
    first = README.split("```python\n", 1)[1].split("```", 1)[0]
    code = [line for line in first.splitlines() if line and not line.startswith(("from ", "import "))]
    assert len(code) <= 10


def test_the_test_command_is_the_one_that_continuous_integration_runs() -> None:
    (command,) = set(re.findall(r"python -m pytest -n 2", README))
    parts = {name: (ROOT / ".ci" / name).read_text(encoding="utf-8") for name in ("run", "unit", "long")}
    assert ' "${long[@]}" "${others[@]}"' in parts["run"]
    assert "\n.ci/lint >" in parts["run"]
    assert f'{command} "${{long[@]/#/--ignore=}}"' in parts["unit"]
    assert f'{command} "${{long[@]}}"' in parts["long"]
    for path in (ROOT / ".ci" / "long-tests").read_text(encoding="utf-8").split():
        assert (ROOT / path).exists(), f"{path} is not there: then no part runs its tests"


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120
