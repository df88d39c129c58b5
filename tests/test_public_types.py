"""What type checkers know of the public names, in a user's script outside this tree and without --strict."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each line that ends in a comment is a mistake, and the comment is mypy's word for it; all others are right.
SCRIPT = """\
import h5burst
import hdmea
import hdmea.features as features
import hdmea.io as io
import numpy as np
from hdmea.pipeline import FlowResult, PipelineSession, create_session, load_recording, run_flow
from scptensor import load_hdf5

session: PipelineSession = create_session("retina")
session.save()
session.save(compression="gzip", compresion_level=4)  # call-arg
session.no_such_method()  # attr-defined
create_session(1)  # arg-type
create_session("retina", nonsense=3)  # call-arg
io.compute_stta(session=session)  # attr-defined
features.compute_sta(session=session).save()
features.compute_sta("recording.h5").save()  # attr-defined
features.compute_sta("recording.h5").units_processed
features.compute_sta(force="yes", session=session)  # call-overload
session = load_recording("a.cmcr", "a.cmtr", session=session)
load_recording("a.cmcr", "a.cmtr").num_units
io.add_sys_meta_info(None, None, None, session).save()
session = load_recording("a.cmcr", "a.cmtr")  # assignment
result: FlowResult = run_flow("load", "a.cmcr", "a.cmtr")
result.load_result.nonsense  # union-attr
io.extract_features(features=["baseline_127"], session=session).save()
io.PipelineSession.load("a.h5").units.keys()
hdmea.create_session("retina").warnings.append("late")
hdmea.to_xarray("a.h5", "baseline_127", bins_s=1.0)  # call-arg
h5burst.save("a.h5", {"a": np.arange(3)}, compresion="gzip")  # call-arg
h5burst.loda("a.h5")  # attr-defined
load_hdf5("a.h5", lazi=True)  # call-arg


def wrapper(session: PipelineSession | None) -> None:
    io.compute_sta("a.h5", session=session)
"""


@pytest.fixture
def user_scripts(tmp_path: Path) -> Path:
    """A directory outside the tree with the script above and the README's examples."""
    readme = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    for number, code in enumerate(readme):
        (tmp_path / f"readme_{number}.py").write_text(code, "utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    return tmp_path


def mistakes() -> set[tuple[str, int, str]]:
    """File, line and mypy's word for each mistake of the script."""
    marked = re.compile(r"  # (\S+)$")
    lines = enumerate(SCRIPT.splitlines(), 1)
    found = {("script.py", number, match[1]) for number, line in lines if (match := marked.search(line))}
    assert len(found) == 13
    return found


def test_mypy_finds_each_mistake_of_a_script_and_nothing_else(user_scripts: Path) -> None:
    pytest.importorskip("mypy")
    words = ["-m", "mypy", "--no-error-summary", "--config-file=", "--check-untyped-defs", "--python-version", "3.10"]
    words += ["--no-color-output", "--no-pretty", "."]
    done = subprocess.run([sys.executable, *words], cwd=user_scripts, capture_output=True, text=True, check=False)
    errors = re.findall(r"^(\S+?):(\d+): error: .*\[(\S+)\]$", done.stdout, re.MULTILINE)
    assert {(name, int(line), word) for name, line, word in errors} == mistakes(), done.stdout + done.stderr


def test_pyright_finds_each_mistake_of_a_script_and_nothing_else(user_scripts: Path) -> None:
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed")
    command = [pyright, "--outputjson", "--pythonpath", sys.executable, "--pythonversion", "3.10", "."]
    done = subprocess.run(command, cwd=user_scripts, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout[done.stdout.index("{") :])
    reported = {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in report["generalDiagnostics"]}
    assert report["summary"]["filesAnalyzed"] > 1
    assert reported == {(name, line) for name, line, _ in mistakes()}, done.stdout
