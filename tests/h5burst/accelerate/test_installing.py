"""`h5burst auto --install` and `--remove`: files of a virtual environment that are read when Python starts."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from h5burst.accelerate import installing
from h5burst.cli import app

IS_ON = "import h5py; print(h5py.Dataset.__getitem__.__code__.co_filename.endswith('takeover.py'))"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of the environment's own."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


def python(site: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program in an environment whose files of startup are there."""
    begin = f"import site; site.addsitedir({str(site)!r}); "
    environment = {name: value for name, value in os.environ.items() if name != "H5BURST_AUTO"} | variables
    return subprocess.run(
        [sys.executable, "-c", begin + code], env=environment, capture_output=True, text=True, check=False
    )


def test_a_variable_does_it_once_it_is_installed(site: Path) -> None:
    assert CliRunner().invoke(app, ["auto", "--install"]).exit_code == 0
    assert installing.is_installed()
    assert python(site, IS_ON).stdout == "False\n"
    assert python(site, IS_ON, H5BURST_AUTO="0").stdout == "False\n"
    assert python(site, IS_ON, H5BURST_AUTO="1").stdout == "True\n"
    assert "reads taken over: 0" in python(site, IS_ON, H5BURST_AUTO="report").stderr
    unused = "import sys; print('h5py' in sys.modules, 'h5burst' in sys.modules, len(sys.meta_path))"
    assert python(site, unused, H5BURST_AUTO="1").stdout.startswith("False False")
    assert python(site, unused).stdout == python(site / "nowhere", unused).stdout
    assert CliRunner().invoke(app, ["auto", "--remove"]).exit_code == 0
    assert list(site.iterdir()) in ([], [site / "__pycache__"])
    assert not list(site.rglob("*.py*"))
    assert "nothing was there" in CliRunner().invoke(app, ["auto", "--remove"]).output


def test_a_broken_installation_stops_no_program(site: Path) -> None:
    installing.install()
    broken = site / "broken" / "h5burst"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('broken')")
    run = python(site, f"import sys; sys.path.insert(0, {str(broken.parent)!r}); {IS_ON}", H5BURST_AUTO="1")
    assert run.stdout == "False\n"
    assert "h5burst.auto is not used: ImportError: broken" in run.stderr
    assert run.returncode == 0


def test_only_in_a_virtual_environment(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(OSError, match="is not a virtual environment"):
        installing.install()
    assert list(site.iterdir()) == []
