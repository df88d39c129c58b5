"""Files as the libraries of the field make them, each written in a process of its own: netCDF4 brings its libhdf5."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.foreign_files import refused
from support.foreign_writers import WRITERS

MODULES = {"h5netcdf": ("h5netcdf", "xarray"), "PyTables": ("tables",), "pandas": ("tables", "pandas")}


@pytest.mark.parametrize("library", WRITERS)
def test_files_of_other_libraries_are_read(library: str, tmp_path: Path) -> None:
    for module in MODULES.get(library, (library,)):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode:
            pytest.skip(f"{module} is not installed")
    path = tmp_path / "a.h5"
    code = f"path = {str(path)!r}\n{WRITERS[library]}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]

    assert refused(path) == {}
