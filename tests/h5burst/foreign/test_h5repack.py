"""Files of other libraries after `h5repack` with a dozen sets of options."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hdf5plugin
import pytest

from h5burst import CorruptFileError
from support.bounds import cases
from support.foreign_files import refused
from support.foreign_writers import WRITERS

pytestmark = pytest.mark.skipif(shutil.which("h5repack") is None, reason="the HDF5 tools are not installed")

OPTIONS = [
    ("-f", "GZIP=1"), ("-f", "FLET", "-f", "GZIP=4"), ("-f", "SHUF", "-f", "GZIP=9", "-f", "FLET"), ("-f", "NONE"),
    ("-l", "CONTI"), ("-l", "COMPA"), ("-L",), ("-L", "-c", "2", "-d", "1"), ("-s", "20"),
    ("-S", "PAGE", "-P", "1", "-G", "4096"), ("-S", "NONE"), ("-n",), ("-u", "", "-b", "1024"),
]  # fmt: skip
LIBRARIES = list(WRITERS)
LOST_FILL_VALUE = "Unable to get dataset creation properties"  # of text, after -L: libhdf5 does not find it, either


@pytest.fixture(scope="module", params=LIBRARIES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("written") / "a.h5"
    code = f"path = {str(path)!r}\n{WRITERS[request.param]}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{request.param} is not installed")
    assert done.returncode == 0, done.stderr[-1500:]
    return request.param, path


def test_what_h5repack_makes_of_files_of_other_libraries(written: tuple[str, Path], tmp_path: Path) -> None:
    """Each library meets some of the options, together they meet all; with H5BURST_WHOLE=1 each meets all."""
    library, path = written
    block = tmp_path / "block"
    block.write_bytes(b"user" * 256)
    first, count = LIBRARIES.index(library) * 2, cases(2, len(OPTIONS))
    repacked = 0
    for number in range(first, first + count):
        options = OPTIONS[number % len(OPTIONS)]
        words = [str(block) if option == "" else option for option in options]
        target = tmp_path / f"{number}.h5"
        plugins = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
        done = subprocess.run(
            ["h5repack", *words, path, target], env=plugins, capture_output=True, text=True, check=False
        )
        if done.returncode:  # the tool's own limits: what it does not read or cannot lay out so
            continue
        repacked += 1
        try:
            assert refused(target) == {}, options
        except CorruptFileError as error:
            if LOST_FILL_VALUE not in str(error) or library != "netCDF4":
                raise
    assert repacked, f"h5repack reads nothing of {library}"
