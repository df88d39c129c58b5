"""This distribution beside another one that is called scptensor.

The tests in fresh environments build a wheel, which takes minutes where nothing is compiled yet: they run with
`H5BURST_BUILD_TESTS=1`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import stand_ins

ROOT = Path(__file__).parents[2]
_SETUP = """
import json, runpy, sys, types
import setuptools
sys.modules["Cython"] = types.ModuleType("Cython")  # not there where this package was installed from a wheel
sys.modules["Cython"].__version__ = "none"
sys.modules["Cython.Build"] = types.ModuleType("Cython.Build")
sys.modules["Cython.Build"].cythonize = lambda *args, **kwargs: []
setuptools.setup = lambda **kwargs: print(json.dumps([kwargs["packages"], kwargs["entry_points"]["console_scripts"]]))
runpy.run_path("setup.py")
"""


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="only in a source tree")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_the_switch_of_the_build_leaves_out_the_name(switch: str) -> None:
    env = {**os.environ, "H5BURST_WITHOUT_SCPTENSOR": switch}
    done = subprocess.run([sys.executable, "-c", _SETUP], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    packages, commands = json.loads(done.stdout)
    named = [p for p in packages if p.split(".")[0] == "scptensor"] + [c for c in commands if c.startswith("scptensor")]
    assert bool(named) == (switch == "0")
    assert {"scpstore", "scpstore.core", "scpstore.io", "h5burst", "hdmea"} <= set(packages)
    assert any(command.startswith("scpstore ") for command in commands)


# ---------------------------------------------------------------- in fresh environments

_WORK = """
import sys, numpy as np, polars as pl, scptensor
assert scptensor.KIND == {kind!r}
import scpstore
scpstore.accelerate()
matrix = scptensor.ScpMatrix(np.ones((1, 1)))
container = scptensor.ScpContainer(
    pl.DataFrame({{"_index": ["s"]}}), {{"a": scptensor.Assay(pl.DataFrame({{"_index": ["p"]}}), {{"X": matrix}})}}
)
container.save(sys.argv[1])
assert type(scptensor.ScpContainer.load(sys.argv[1])) is scptensor.ScpContainer
"""


def run(*command: object, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=600, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("H5BURST_BUILD_TESTS") != "1":
        pytest.skip("set H5BURST_BUILD_TESTS=1 to build a wheel")
    directory = tmp_path_factory.mktemp("wheel")
    env = {**os.environ, "H5BURST_WITHOUT_SCPTENSOR": "1"}
    pip = (sys.executable, "-m", "pip", "wheel", "-q", ROOT, "--no-deps", "--no-build-isolation", "-w", directory)
    run(*pip, env=env)
    (made,) = directory.glob("*.whl")
    return made


def stand_in_wheel(directory: Path, kind: str) -> Path:
    """A wheel of another distribution named scptensor."""
    package = stand_ins.write(directory / "source", kind)
    path = directory / "scptensor-9.0-py3-none-any.whl"
    meta = "scptensor-9.0.dist-info"
    names = [file.relative_to(directory / "source").as_posix() for file in sorted(package.rglob("*.py"))]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(directory / "source" / name, name)
        archive.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: scptensor\nVersion: 9.0\n")
        archive.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        records = [*names, f"{meta}/METADATA", f"{meta}/WHEEL", f"{meta}/RECORD"]
        archive.writestr(f"{meta}/RECORD", "".join(f"{name},,\n" for name in records))
    return path


class Environment:
    """A fresh environment that sees the libraries of this one, but not its packages of ours."""

    def __init__(self, directory: Path) -> None:
        venv.create(directory)
        self.python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        self.site = Path(run(self.python, "-c", code).strip())
        (self.site / "libraries.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")

    def pip(self, *arguments: object) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    def install(self, wheel: Path) -> None:
        self.pip("install", "-q", "--no-deps", "--no-index", wheel)

    def files(self, package: str) -> dict[str, bytes]:
        root = self.site / package
        return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*.py"))}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["dataclasses", "slots"])
@pytest.mark.parametrize("theirs_first", [True, False])
def test_both_live_in_one_environment(tmp_path: Path, wheel: Path, kind: str, theirs_first: bool) -> None:
    env = Environment(tmp_path / "env")
    theirs = stand_in_wheel(tmp_path, kind)
    for one in [theirs, wheel] if theirs_first else [wheel, theirs]:
        env.install(one)
    expected = {f.relative_to(tmp_path / "source/scptensor").as_posix(): f.read_bytes()
                for f in (tmp_path / "source/scptensor").rglob("*.py")}  # fmt: skip
    assert env.files("scptensor") == expected
    run(env.python, "-c", _WORK.format(kind=kind), tmp_path / "a.h5", cwd=tmp_path)
    if theirs_first:
        env.pip("uninstall", "-q", "-y", "h5burst")
        assert env.files("scptensor") == expected
        assert not (env.site / "scpstore").exists()
        run(env.python, "-c", "import scptensor; scptensor.ScpContainer", cwd=tmp_path)
    else:
        env.pip("uninstall", "-q", "-y", "scptensor")
        assert not (env.site / "scptensor").exists()
        run(env.python, "-c", "import sys, scpstore; scpstore.load_hdf5(sys.argv[1])", tmp_path / "a.h5", cwd=tmp_path)
