"""Scripts that write a file at `path`, as users of each library do; each is run in a process of its own."""

WRITERS = {
    "netCDF4": """
import netCDF4, numpy as np
with netCDF4.Dataset(path, "w") as file:
    file.createDimension("time", None); file.createDimension("x", 7); file.title = "a title"
    zipped = file.createVariable("zipped", "f4", ("time", "x"), zlib=True, shuffle=True, fletcher32=True)
    zipped[:] = np.random.default_rng(0).normal(size=(30, 7)); zipped.units = "mV"
    words = file.createVariable("words", str, ("x",)); words[:] = np.array(list("abcdefg"), object)
    group = file.createGroup("deep/er"); group.createVariable("x", "i8", ("x",))[:] = np.arange(7)
    kind = file.createEnumType("u1", "kind", {"ON": 1, "OFF": 0})
    file.createVariable("kinds", kind, ("x",), fill_value=0)[:] = [1, 0] * 3 + [1]
    pair = file.createCompoundType(np.dtype([("a", "i4"), ("b", "f8")]), "pair")
    file.createVariable("pairs", pair, ("x",))[:] = np.zeros(7, [("a", "i4"), ("b", "f8")])
    ragged = file.createVLType("i4", "ragged"); rows = file.createVariable("rows", ragged, ("x",))
    for i in range(7): rows[i] = np.arange(i, dtype="i4")
""",
    "h5netcdf": """
import numpy as np, xarray as xr
data = xr.Dataset({"a": (("y", "x"), np.arange(12.0).reshape(3, 4)), "b": ("x", list("abcd"))},
                  {"x": np.arange(4), "y": [10, 20, 30]}, {"title": "t"})
data.to_netcdf(path, engine="h5netcdf", encoding={"a": {"zlib": True, "fletcher32": True}})
""",
    "PyTables": """
import numpy as np, tables
with tables.open_file(path, "w") as file:
    file.create_array("/", "plain", np.arange(10)); file.create_array("/", "text", [b"ab", b"c"])
    for name in ("zlib", "bzip2", "blosc", "blosc2"):
        file.create_carray("/", name, obj=np.arange(1000.0), filters=tables.Filters(5, name, fletcher32=True))
    file.create_earray("/", "grows", obj=np.arange(12).reshape(3, 4))
    rows = file.create_vlarray("/", "ragged", tables.Int32Atom()); rows.append([1, 2]); rows.append([3])
    table = file.create_table("/", "table", np.dtype([("a", "i4"), ("b", "S5"), ("c", "f8", (2,)), ("d", "?")]))
    table.append([(1, b"x", (1, 2), True)] * 20)
""",
    "pandas": """
import numpy as np, pandas as pd
frame = pd.DataFrame({"a": np.arange(20), "b": np.linspace(0, 1, 20), "c": list("abcde") * 4})
frame.to_hdf(path, key="fixed"); frame.to_hdf(path, key="table", format="table", complevel=5, complib="blosc:zstd")
""",
    "anndata": """
import anndata as ad, numpy as np, pandas as pd, scipy.sparse as sp
data = ad.AnnData(sp.random(30, 12, 0.2, format="csr", random_state=0),
    pd.DataFrame({"k": pd.Categorical(list("abc") * 10), "n": pd.array([1, None] * 15, "Int64")},
    [f"c{i}" for i in range(30)]))
data.layers["dense"] = np.ones((30, 12))
data.obsm["pca"] = np.zeros((30, 2)); data.uns = {"a": {"b": [1, 2]}, "s": "t"}
data.write_h5ad(path, compression="gzip")
""",
    "pynwb": """
import datetime, numpy as np, pynwb
file = pynwb.NWBFile("a session", "id", datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc))
electrode_device = file.create_device("probe")
group = file.create_electrode_group("group", "d", "l", electrode_device)
for i in range(4): file.add_electrode(x=float(i), y=0.0, z=0.0, location="l", group=group)
region = file.create_electrode_table_region([0, 2], "two")
file.add_acquisition(pynwb.ecephys.ElectricalSeries("es", np.ones((50, 2)), region, rate=10.0))
for i in range(3): file.add_unit(spike_times=np.arange(i + 1.0))
with pynwb.NWBHDF5IO(path, "w") as out: out.write(file)
""",
    "hdf5storage": """
import hdf5storage, numpy as np
hdf5storage.savemat(path, {"a": np.arange(12.0).reshape(3, 4), "t": "text", "s": {"b": 3, "c": [1, "x"]},
    "z": np.array([1 + 2j]), "e": np.zeros((0, 3))}, format="7.3",
    appendmat=False, oned_as="row", store_python_metadata=True)
""",
}  # fmt: skip
