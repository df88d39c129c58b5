"""All that an HDF5 file holds, as h5py tells it, with references as the names of what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (h5py then knows its filters)
import numpy as np

_found_names: dict[int, dict[int, str]] = {}


def contents(path: Path, *, storage: bool = True) -> dict[str, Any]:
    """Links, groups, datasets, committed types and attributes of a file, in the order in which h5py lists them.

    storage: whether filters and chunks count.
    """
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        seen: dict[int, str] = {}
        _found_names[file.id.id] = _names(file)
        _gather(file, "/", found, seen, storage)
        found["user block"] = file.userblock_size
    return found


def _gather(item: Any, where: str, found: dict[str, Any], seen: dict[int, str], storage: bool) -> None:
    info = h5py.h5o.get_info(item.id)
    if info.addr in seen:
        found[where] = ("the same as", seen[info.addr])
        return
    seen[info.addr] = where
    found[where] = [type(item).__name__, info.rc]
    found[f"{where}@"] = [
        (name, _space(item.attrs.get_id(name)), _typed(item.attrs.get_id(name)), _value(item.attrs.get_id(name), item))
        for name in item.attrs
    ]
    if isinstance(item, h5py.Datatype):
        found[where].append(item.dtype)
    elif isinstance(item, h5py.Dataset):
        found[where] += [_space(item.id), item.maxshape, _typed(item.id), _value(item.id, item)]
        found[where] += [_creation(item, storage)]
    else:
        for name in item:
            link = item.get(name, getlink=True)
            below = f"{where.rstrip('/')}/{name}"
            if isinstance(link, h5py.HardLink):
                _gather(item[name], below, found, seen, storage)
            else:
                found[below] = (type(link).__name__, link.path, getattr(link, "filename", ""))


def _space(holder: Any) -> Any:
    space = holder.get_space()
    return (space.get_simple_extent_type(), space.shape if space.get_simple_extent_type() else ())


def _typed(holder: Any) -> Any:
    """The datatype in full, and whether it is a committed one."""
    kind = holder.get_type()
    return kind.committed(), bytes(h5py.h5t.TypeID.copy(kind).encode()) if not kind.committed() else str(kind.dtype)


def _creation(dataset: Any, storage: bool) -> Any:
    plist = dataset.id.get_create_plist()
    fill = None
    if dataset.dtype.kind in "iufbS" and plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        fill = dataset.fillvalue
    filters = [plist.get_filter(k) for k in range(plist.get_nfilters())]
    chunked = (dataset.chunks, filters, plist.get_layout()) if storage else ()
    external = [plist.get_external(k) for k in range(plist.get_external_count())]
    return plist.fill_value_defined(), repr(fill), plist.get_fill_time(), chunked, external


def _value(holder: Any, item: Any) -> Any:
    if holder.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return None
    if isinstance(holder, h5py.h5a.AttrID):
        value = np.empty(holder.shape, holder.dtype)
        if value.size:
            holder.read(value)
    else:
        value = item[()]
    return _plain(value, item)


def _plain(value: Any, item: Any) -> Any:
    """Values as what compares by ==: bytes, and lists with the names of what references lead to."""
    if isinstance(value, h5py.Reference):
        return ("reference", _first_name(value, item) if value else None)
    if isinstance(value, h5py.RegionReference):
        if not value:
            return ("region", None)
        region = h5py.h5r.get_region(value, item.id)
        return (
            "region",
            _first_name(value, item),
            region.shape,
            region.get_select_npoints(),
            region.get_select_bounds(),
        )
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        if value.dtype.names:
            return [(name, _plain(value[name], item)) for name in value.dtype.names]
        return [_plain(part, item) for part in value.reshape(-1)]
    if isinstance(value, np.void) and value.dtype.hasobject:
        return [(name, _plain(value[name], item)) for name in value.dtype.names]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tobytes()
    return value


def _first_name(reference: Any, item: Any) -> str:
    """The name under which a walk through the file comes first upon what a reference leads to."""
    address = h5py.h5o.get_info(h5py.h5r.dereference(reference, item.id)).addr
    return _found_names[item.file.id.id][address]


def _names(file: Any) -> dict[int, str]:
    names: dict[int, str] = {}
    waiting = [("/", file)]
    while waiting:
        name, item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in names:
            continue
        names[address] = name
        if isinstance(item, h5py.Group):
            hard = [key for key in item if isinstance(item.get(key, getlink=True), h5py.HardLink)]
            waiting += [(f"{name}/{key}", item[key]) for key in reversed(hard)]
    return names
