"""Files that MATLAB's `h5read` opens without plugins, and what keeps it from opening others.

MATLAB reads integers of 8 to 64 bits, single and double precision, fixed and variable-length text, compounds (as
structs), enumerations (as text) and opaque bytes; of filters those that come with HDF5: deflate, shuffle, fletcher32,
szip, nbit and scale-offset (MathWorks, "HDF5 Data Type Mapping to MATLAB Types"; `H5Z` in the HDF5 manual).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import Array, CastSource, Group, LazyArray, Node, Problem, Storage, durable, read_tree, write_tree
from hdmea.bridges.units import Source
from hdmea.session import file as session_file
from hdmea.session.session import PipelineSession
from hdmea.utils.clock import utc_now

FILTERS = frozenset({"gzip", "shuffle", "fletcher32", "szip", "nbit", "scaleoffset"})
NAME_ATTRIBUTE = "hdmea.name"  # the name of what is written under another one
FROM_NONE = "hdmea.was_none"  # mark of an empty dataset that stands for one without data
INTEGER_BYTES, FLOAT_BYTES = (1, 2, 4, 8), (4, 8)
BLOCK_BYTES = 1 << 24


def export_matlab(source: Source, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write a recording so that MATLAB's `h5read`, `h5readatt` and `h5info` read all of it.

    Parameters
    ----------
    source
        A session, or the path of its file, which is read as it is written.
    output
        The new file. It has the groups and datasets of the recording's own (MATLAB shows axes in reverse order).
    overwrite
        Replace a file that is there.

    Returns
    -------
    Path
        The file: complete, or not there. Compression is deflate; bool becomes uint8 (0, 1), half precision single,
        extended precision double, a dataset without data an empty one, and a name with characters beyond ASCII is
        percent-encoded (the attribute `hdmea.name` has it as it was).

    Raises
    ------
    FileExistsError
        The output is there, without `overwrite`.
    CheckpointError
        The source is not a recording.

    Examples
    --------
    >>> from hdmea.bridges.matlab import export_matlab, matlab_problems
    >>> path = export_matlab("recording.h5", "for_matlab.h5")
    >>> matlab_problems(path)
    []
    """
    output = Path(output)
    durable.require_absent(output, overwrite)
    if isinstance(source, PipelineSession):
        tree = session_file.session_tree(source, utc_now(), {})
    else:
        session_file.read(Path(source), lazy=True)  # for its errors
        tree = read_tree(source, lazy=True)
    write_tree(output, _group(tree), storage=Storage("gzip"), overwrite=overwrite)
    return output


def matlab_problems(path: str | Path) -> list[Problem]:
    """List what MATLAB's `h5read` cannot take of a file: types, filters and names, each with its place.

    Parameters
    ----------
    path
        Any HDF5 file.

    Returns
    -------
    list of Problem
        What and where; empty where MATLAB can read all of it.

    Raises
    ------
    FileNotFoundError, CorruptFileError
        As `h5burst.read_tree`.

    Examples
    --------
    >>> import numpy as np
    >>> import h5burst
    >>> from hdmea.bridges.matlab import matlab_problems
    >>> h5burst.write_tree("flags.h5", h5burst.Group({"flags": h5burst.Array(np.array([True, False]))}))
    >>> [problem.path for problem in matlab_problems("flags.h5")]
    ['/flags']
    """
    tree = read_tree(path, lazy=True)
    return [Problem(where, problem) for where, problem in _problems("", tree)]


# ---------------------------------------------------------------- what it takes


def _problems(where: str, node: Node) -> Iterator[tuple[str, str]]:
    name = where.rpartition("/")[2]
    if not name.isascii():
        yield where, "has a name with characters beyond ASCII, which not every MATLAB finds"
    for key, value in node.attrs.items():
        if isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) == np.dtype(bool):
            yield where, f"has the attribute {key} of type bool, which MATLAB reads as text"
        elif value is None:
            yield where, f"has the attribute {key} without a value"
    if isinstance(node, Group):
        for child, below in node.children.items():
            yield from _problems(f"{where}/{child}", below)
        return
    if node.data is None:
        yield where, "is a dataset without data"
        return
    if unknown := _unknown_type(node.data.dtype):
        yield where, unknown
    filters = node.data.filters if isinstance(node.data, LazyArray) else ()
    if needed := [name for name in filters if name not in FILTERS]:
        yield where, f"is compressed by {', '.join(needed)}, for which MATLAB needs a plugin"


def _unknown_type(dtype: np.dtype[Any]) -> str:
    """Why MATLAB does not read a type as the numbers that it is; empty for one that it reads."""
    if dtype.names is not None:
        parts = [(name, _unknown_type(dtype[name])) for name in dtype.names]
        return next((f"has the field {name}, which {why}" for name, why in parts if why), "")
    base = dtype.base
    if base.kind == "b":
        return "is of type bool, which MATLAB reads as text"
    if base.kind == "f" and base.itemsize not in FLOAT_BYTES:
        return f"is of type {base}, which MATLAB does not have"
    if base.kind in "iu" and base.itemsize not in INTEGER_BYTES:
        return f"is of type {base}, which MATLAB does not have"
    return "" if base.kind in "biufcSUOTV" else f"is of type {base}, which MATLAB does not have"


# ---------------------------------------------------------------- as it takes it


def _group(group: Group) -> Group:
    """A group with everything in it as MATLAB takes it; data stay where they are until they are written."""
    as_matlab = Group(attrs=_attributes(group.attrs))
    for name, child in group.children.items():
        node = _group(child) if isinstance(child, Group) else _array(child)
        free = _ascii(name)
        if free != name:
            node.attrs[NAME_ATTRIBUTE] = name
        as_matlab.children[free] = node
    links = {name: link for name, link in group.links.items() if name not in group.children}
    as_matlab.links = {_ascii(name): link for name, link in links.items()}
    return as_matlab


def _ascii(name: str) -> str:
    """A name in ASCII: other characters, and %, percent-encoded by their UTF-8 bytes; ASCII stays as it is."""
    if name.isascii():
        return name
    return "".join(c if c.isascii() and c != "%" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in name)


def _attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in attrs.items():
        if value is None:
            attributes[name] = ""
        elif isinstance(value, (bool, np.bool_)):
            attributes[name] = np.uint8(value)
        elif isinstance(value, (np.ndarray, np.generic)):
            attributes[name] = np.asarray(value).astype(_dtype(np.asarray(value).dtype))[()]
        else:
            attributes[name] = value
    return attributes


def _array(array: Array) -> Array:
    attrs = _attributes(array.attrs)
    if array.data is None:
        return Array(np.empty(0), {**attrs, FROM_NONE: np.uint8(1)})
    target_dtype = _dtype(array.data.dtype)
    if target_dtype == array.data.dtype:
        return Array(array.data, attrs)
    if isinstance(array.data, np.ndarray) or not array.data.shape:
        return Array(np.asarray(array.data).astype(target_dtype), attrs)
    return Array(CastSource(array.data, target_dtype), attrs)


def _dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which values of a type are written."""
    if dtype.names is not None:
        return np.dtype([(name, _dtype(dtype[name])) for name in dtype.names])
    if dtype.subdtype is not None:
        return np.dtype((_dtype(dtype.base), dtype.shape))
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in FLOAT_BYTES:
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return np.dtype(np.complex128) if dtype.kind == "c" and dtype.itemsize > 16 else dtype
