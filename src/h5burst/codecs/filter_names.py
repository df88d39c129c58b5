"""Names of filters, and who brings those that only libhdf5 applies."""

from __future__ import annotations

from h5burst.codecs import registry

# Numbers that the HDF Group registered, of the filters that hdf5plugin brings.
HDF5PLUGIN = {
    307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz",
    32018: "fcidecomp", 32024: "sz3", 32026: "blosc2", 32028: "sperr", 32033: "htj2k",
}  # fmt: skip

HDF5_OWN = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
NOT_CODECS = frozenset({"shuffle", "fletcher32"})


def filter_name(number: int, stored: str = "") -> str:
    """Name of a filter: that of its codec here, else the registered one, else the file's, else its number."""
    if number in HDF5_OWN:
        return HDF5_OWN[number]
    codec = registry.by_id(number)
    return codec.name if codec is not None else HDF5PLUGIN.get(number) or stored or f"filter-{number}"


def describe_missing(number: int, name: str) -> str:
    """A sentence on a filter that is not installed, and where to get it. name: as the file gives it, or empty."""
    name = name or HDF5PLUGIN.get(number, "")
    called = f"filter {number}" + (f" ({name})" if name else "")
    if number in HDF5PLUGIN:
        return f"its data went through HDF5's {called}, which is not installed: the package hdf5plugin brings it"
    return (
        f"its data went through HDF5's {called}, which is not installed: install its plugin, and let "
        "HDF5_PLUGIN_PATH name the directory that it is in"
    )
