"""Files of the field's libraries, repacked: the same content, and each library opens its copy and finds its data."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import h5burst
from support.faithful import contents
from support.foreign_writers import WRITERS

# What each library says of a file: a text that must be the same of the copy. `path` is the file.
READERS = {
    "netCDF4": """
import netCDF4, numpy as np
with netCDF4.Dataset(path) as file:
    def walk(group):
        for name, v in group.variables.items():
            told.append([name, v.dimensions, str(v.dtype), v.shape, v.ncattrs(), v.filters(), v.chunking(),
                         np.asarray(v[:]).tolist()])
        told.extend([group.ncattrs(), [(d.name, len(d), d.isunlimited()) for d in group.dimensions.values()],
                     list(group.enumtypes), list(group.cmptypes), list(group.vltypes)])
        for below in group.groups.values(): walk(below)
    walk(file)
import shutil; shutil.copy(path, path + ".grown")
with netCDF4.Dataset(path + ".grown", "r+") as file:
    file["zipped"][35] = 1; file.title = "longer than it was"; told.append(file["zipped"].shape)
""",
    "h5netcdf": """
import xarray as xr
with xr.open_dataset(path, engine="h5netcdf") as data: told.append(data.load().to_dict())
""",
    "PyTables": """
import tables
with tables.open_file(path, "r+") as file:
    for node in file.walk_nodes("/"):
        if isinstance(node, tables.Leaf): told.append([str(node), node.read().__repr__(), str(node.filters)])
    file.root.grows.append([[1, 2, 3, 4]]); told.append(file.root.grows.shape)
    table = file.root.table; table.append([(9, b"new", (1, 2), False)]); table.flush(); told.append(table.nrows)
""",
    "pandas": """
import pandas as pd
told += [pd.read_hdf(path, "fixed").to_dict(), pd.read_hdf(path, "table").to_dict()]
""",
    "anndata": """
import anndata as ad
data = ad.read_h5ad(path)
told += [data.X.toarray().tolist(), data.obs.to_dict(), str(data.uns), data.layers["dense"].tolist(), str(data)]
""",
    "pynwb": """
import pynwb
with pynwb.NWBHDF5IO(path, "r") as source:
    file = source.read()
    series = file.acquisition["es"]
    told += [series.data[:].tolist(), series.electrodes.to_dataframe()["x"].tolist(), file.units.to_dataframe()]
    told += [file.electrodes.to_dataframe()["group_name"].tolist(), file.identifier,
             file.electrodes["group"].data[0].name]
""",
    "hdf5storage": """
import hdf5storage
told.append(sorted((k, repr(v)) for k, v in hdf5storage.loadmat(path, appendmat=False).items()))
""",
}  # fmt: skip
MODULES = {"h5netcdf": ("h5netcdf", "xarray"), "PyTables": ("tables",), "pandas": ("tables", "pandas")}


def run(code: str, *paths: Path) -> list[str]:
    """What a script tells of each file, in one process."""
    names = [str(path) for path in paths]
    lines = ("told = []", "exec(code, {'path': path, 'told': told})", "print(told)", "print('----')")
    work = f"code = {code!r}\nfor path in {names!r}:\n" + "".join(f"    {line}\n" for line in lines)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", work], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout.split("----\n")[:-1]


@pytest.mark.parametrize("library", READERS)
def test_a_library_reads_its_repacked_file(library: str, tmp_path: Path) -> None:
    for module in MODULES.get(library, (library,)):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    path = tmp_path / ("a.nwb" if library == "pynwb" else "a.h5")
    run(WRITERS[library], path)
    copies = [tmp_path / f"{way}{path.suffix}" for way in ("keep", "gzip")]
    h5burst.repack(path, copies[0])
    h5burst.repack(path, copies[1], compression="gzip")
    assert contents(copies[0]) == contents(path)
    assert contents(copies[1], storage=False) == contents(path, storage=False)
    expected, kept, zipped = run(READERS[library], path, *copies)
    assert len(expected) > 100
    assert kept == expected
    if library not in ("netCDF4", "PyTables"):  # which tell the filters, too
        assert zipped == expected
