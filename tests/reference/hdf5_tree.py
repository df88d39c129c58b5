"""A tree written by plain h5py, and what plain h5py reads from any file: the reference of every way to write one."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from h5burst.model.tree import Array, Group, escape_attribute, escape_link

LIBVER = ("v110", "v110")


def write_plainly(path: str | os.PathLike[str], tree: Group, libver: Any = LIBVER) -> None:
    """Write the file object by object; storage wishes are ignored, as they change no value."""
    with h5py.File(path, "w", libver=libver) as file:
        _fill(file, tree)


def _fill(group: h5py.Group, node: Group) -> None:
    _write_attributes(group, node.attrs)
    for name, child in node.children.items():
        link = escape_link(name)
        if isinstance(child, Group):
            _fill(group.create_group(link), child)
        else:
            _write_attributes(_write_array(group, link, child), child.attrs)


def _write_array(group: h5py.Group, link: str, node: Array) -> h5py.Dataset:
    data = node.data
    if data is None or isinstance(data, h5py.Empty):
        return group.create_dataset(link, data=h5py.Empty("f8") if data is None else data)
    if not isinstance(data, np.ndarray):
        data = data.read(0, data.shape[0])
    return group.create_dataset(link, data=data, dtype=_text_dtype(data))


def _text_dtype(data: np.ndarray[Any, Any]) -> np.dtype[Any] | None:
    if data.dtype.kind != "O":
        return None
    is_bytes = bool(data.size) and isinstance(data.flat[0], bytes)
    return h5py.string_dtype("ascii" if is_bytes else "utf-8")


def _write_attributes(target: h5py.HLObject, attrs: dict[str, Any]) -> None:
    for name, value in attrs.items():
        dtype = _text_dtype(value) if isinstance(value, np.ndarray) else None
        target.attrs.create(escape_attribute(name), h5py.Empty("f8") if value is None else value, dtype=dtype)


def content(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything in a file: object path -> kind, type as h5py sees it, shape, exact bytes, attributes."""
    with h5py.File(path, "r") as file:
        found: dict[str, Any] = {"/": ("group", _attributes(file))}
        _collect(file, "", found)
    return found


def _collect(group: h5py.Group, prefix: str, found: dict[str, Any]) -> None:
    for name in group:
        item, path = group[name], f"{prefix}/{name}"
        if isinstance(item, h5py.Group):
            found[path] = ("group", _attributes(item))
            _collect(item, path, found)
        else:
            found[path] = ("dataset", *_described(item.id, None if item.shape is None else item[()]), _attributes(item))


def _attributes(item: h5py.HLObject) -> dict[str, Any]:
    return {name: _described(item.attrs.get_id(name), item.attrs[name]) for name in item.attrs}


def _described(stored: Any, value: Any) -> tuple[Any, ...]:
    """HDF5's type, the dtype, the shape and the exact value of a dataset or attribute."""
    space = stored.get_space()
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        return _type(stored), "null"
    shape = space.shape
    if stored.dtype.kind == "O":
        return _type(stored), shape, np.asarray(value, dtype=object).ravel().tolist()
    return _type(stored), shape, b"" if 0 in shape else np.asarray(value, stored.dtype).tobytes()


def _type(stored: Any) -> tuple[Any, ...]:
    """What decides how h5py reads it: the dtype with its metadata, and the text's encoding."""
    kind = stored.get_type()
    text = (kind.get_cset(), kind.is_variable_str()) if isinstance(kind, h5py.h5t.TypeStringID) else ()
    return str(kind.dtype), str(kind.dtype.metadata), type(kind).__name__, text


def every_kind() -> Group:
    """A tree with an example of everything that a tree can hold: types, shapes, layouts, attributes, names."""
    rng = np.random.default_rng(7)
    return Group(
        {
            "numbers": _numbers(rng),
            "text": _texts(),
            "shapes": _shapes(rng),
            "large": _large(rng),
            "attributes": _attribute_examples(rng),
            "names": _names(),
            "groups": _groups(),
        },
        {"title": "every kind", "version": 3},
    )


def _numbers(rng: np.random.Generator) -> Group:
    kinds = ["u1", "i2", "<u4", ">i8", "<f2", ">f4", "f8", "<c8", ">c16", "?", "S5", "V3"]
    arrays = {f"{kind}": Array(rng.integers(0, 2**31, 6).astype("u4").view("u1")[:24].astype("u1")) for kind in kinds}
    for kind in kinds:
        dtype = np.dtype(kind)
        raw = rng.integers(0, 2 if kind == "?" else 64, 4 * dtype.itemsize, dtype=np.uint8)
        arrays[kind] = Array(raw.view(dtype))
    record = np.dtype([("time", "<u8"), ("place", "<f4", (2,)), ("label", "S3"), ("inner", [("flag", "?")])])
    arrays["record"] = Array(np.array([(5, [1.5, -2], b"ab", (True,)), (6, [np.nan, 0], b"", (False,))], record))
    arrays["enumeration"] = Array(np.array([1, 2, 1], h5py.enum_dtype({"LOW": 1, "HIGH": 2}, basetype="i2")))
    arrays["instant"] = Array(np.array(["2024-05-01"], "M8[ns]").astype(h5py.opaque_dtype(np.dtype("M8[ns]"))))
    arrays["long double"] = Array(np.array([0.1, -1e300], np.longdouble))
    arrays["special"] = Array(np.array([np.nan, np.inf, -0.0, 5e-324]))
    return Group(arrays)


def _texts() -> Group:
    many = np.empty((3, 2000), dtype=object)
    many[:] = [[f"Größe {i * j}" * (j % 9) for j in range(2000)] for i in range(3)]
    return Group(
        {
            "str": Array(np.array(["", "plain", "naïve 深い 🧠", "x" * 5000], dtype=object)),
            "bytes": Array(np.array([b"", b"raw", b"y" * 300], dtype=object)),
            "one": Array(np.array("alone", dtype=object)),
            "none": Array(np.array([], dtype=object)),
            "many": Array(many),
            "strided": Array(many[::2, ::-7]),
        }
    )


def _shapes(rng: np.random.Generator) -> Group:
    cube = rng.normal(size=(6, 5, 4))
    return Group(
        {
            "scalar": Array(np.array(2.5)),
            "one": Array(np.array([2.5])),
            "cube": Array(cube),
            "fortran": Array(np.asfortranarray(cube)),
            "strided": Array(cube[::-2, 1::2, ::-1]),
            "empty": Array(np.zeros((0, 3), np.int16)),
            "null": Array(None),
            "typed null": Array(h5py.Empty(np.dtype("i4"))),
            "read-only": Array(np.broadcast_to(np.arange(3), (4, 3))),
            "many axes": Array(np.arange(2**8).reshape((2,) * 8)),
        }
    )


def _large(rng: np.random.Generator) -> Group:
    return Group(
        {
            "one chunk": Array(rng.normal(size=(90, 100))),
            "rows": Array(rng.integers(-9, 9, (1003, 401)), {"unit": "µV"}),
            "strided": Array(rng.integers(0, 99, (800, 900), np.int32)[::-2, ::3]),
            "big-endian": Array(np.arange(70_000, dtype=">i4")),
            "booleans": Array(rng.integers(0, 2, 200_000).astype(bool)),
        }
    )


def _attribute_examples(rng: np.random.Generator) -> Group:
    values: dict[str, Any] = {
        "str": "µ-electrode",
        "empty str": "",
        "bytes": b"raw",
        "bool": True,
        "int": -5,
        "large int": 2**64 - 1,
        "float": -0.0,
        "complex": 1 - 2j,
        "none": None,
        "typed none": h5py.Empty(np.dtype("S4")),
        "numpy scalar": np.float32(0.1),
        "numpy bool": np.False_,
        "fixed bytes": np.bytes_(b"abc"),
        "array": rng.normal(size=(2, 3)),
        "strided": np.arange(10)[::-3],
        "empty array": np.zeros((0, 2), np.uint8),
        "texts": np.array([["a", "ü"], ["", "deep 深い"]], dtype=object),
        "byte texts": np.array([b"a", b""], dtype=object),
        "record": np.array((1, 2.5), [("a", "i4"), ("b", "f8")]),
        "name with / and .": 1,
        "имя": 2,
    }
    few = dict(list(values.items())[:7])
    large = {"large": rng.normal(size=30_000), "small": 1, "text": "kept too", "also large": np.arange(40_000)}
    return Group(
        {
            "on a group": Group(attrs=values),
            "on an array": Array(np.arange(3), values),
            "few": Array(np.arange(3), few),
            "on a large array": Array(np.arange(20_000.0), values),
            "larger than a message": Group(attrs=large),
            "many": Array(np.arange(2), {f"attribute {i}": i for i in range(700)}),
        }
    )


def _names() -> Group:
    names = ["a/b", ".", "..", ".hidden", "%~x", "%", "", "nul\0", "\ud800", "Zürich", "深い網膜", "🧠", " ", "n" * 250]
    return Group({name: Array(np.array(i)) for i, name in enumerate(names)}, {name: i for i, name in enumerate(names)})


def _groups() -> Group:
    sizes = [0, 1, 8, 9, 512, 513, 1500]
    return Group({f"{size} links": Group({f"link {i}": Group() for i in range(size)}) for size in sizes})
