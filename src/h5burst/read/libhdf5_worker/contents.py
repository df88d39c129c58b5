"""All objects of a file, to be looked at or copied: run in the child, as all that libhdf5 reads of files of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from h5burst.codecs.filter_names import HDF5_OWN, HDF5PLUGIN
from h5burst.model.errors import CorruptFileError
from h5burst.read.libhdf5_worker.described import Described
from h5burst.read.libhdf5_worker.libhdf5 import naming_damage, open_file, read_attributes

_NAMES = {**HDF5_OWN, **HDF5PLUGIN}


def describe(path: str) -> Iterator[Described]:
    """Every object of a file with its attributes, parents first; one that cannot be read says so as its kind."""
    with open_file(path) as file:
        yield _description("/", file, read_attributes(file))
        waiting = [(f"/{name}", file, name) for name in reversed(list(file))]
        seen = {h5py.h5o.get_info(file.id).addr}
        while waiting:
            object_path, parent, name = waiting.pop()
            try:
                with naming_damage(path, object_path):
                    link = parent.get(name, getlink=True)
                    if not isinstance(link, h5py.HardLink):
                        yield Described(object_path, f"link to {getattr(link, 'filename', '')}{link.path}")
                        continue
                    item = parent[name]
                    described = _description(object_path, item, read_attributes(item))
                    address = h5py.h5o.get_info(item.id).addr
                    below = list(item) if isinstance(item, h5py.Group) and address not in seen else []
            except CorruptFileError as error:
                yield Described(object_path, f"cannot be read: {error.message.removeprefix(f'{object_path}: ')}")
                continue
            seen.add(address)
            yield described
            waiting += [(f"{object_path}/{child}", item, child) for child in reversed(below)]


def _description(object_path: str, item: Any, attributes: dict[str, Any]) -> Described:
    if isinstance(item, h5py.Group):
        return Described(object_path, "group", attributes, hard_links=_links(item))
    if not isinstance(item, h5py.Dataset):
        return Described(object_path, "datatype", attributes)
    return Described(
        object_path,
        "dataset",
        attributes,
        shape=item.shape,
        dtype=_dtype_name(item.dtype),
        stored_bytes=item.id.get_storage_size(),
        filters=_filters(item),
        maxshape=item.maxshape,
        chunks=item.chunks,
        nbytes=int(item.nbytes or 0) if item.shape is not None else 0,
        hard_links=_links(item),
    )


def _links(item: Any) -> int:
    return int(h5py.h5o.get_info(item.id).rc)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """A datatype for people: numpy's name, and words for what numpy has no name for."""
    text, reference = h5py.check_string_dtype(dtype), h5py.check_ref_dtype(dtype)
    if text is not None:
        return f"text {text.encoding}" + ("" if text.length is None else f"[{text.length}]")
    if reference is not None:
        return "object reference" if reference is h5py.Reference else "region reference"
    if (items := h5py.check_vlen_dtype(dtype)) is not None:
        return f"sequence of {_dtype_name(np.dtype(items))}"
    if dtype.names:
        return "{" + ", ".join(f"{name}: {_dtype_name(dtype[name])}" for name in dtype.names) + "}"
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"{_dtype_name(base)}[{','.join(map(str, shape))}]"
    if h5py.check_enum_dtype(dtype) is not None:
        return f"enum {dtype}"
    return f"opaque[{dtype.itemsize}]" if dtype.kind == "V" else str(dtype)


def _filters(dataset: h5py.Dataset) -> str:
    """The filters of a dataset as a short text: "shuffle gzip-4 fletcher32"."""
    creation = dataset.id.get_create_plist()
    steps = [creation.get_filter(index) for index in range(creation.get_nfilters())]
    return " ".join(
        f"gzip-{values[0]}" if number == 1 and values else _NAMES.get(number, f"filter {number}")
        for number, _, values, _ in steps
    )
