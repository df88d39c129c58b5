"""h5burst: trees of arrays to HDF5 files and back, fast, durable and within a memory budget.

All that others use is importable from here. Names are imported when they are first used (PEP 562), so that
`import h5burst` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from h5burst import codecs as codecs
    from h5burst import console as console
    from h5burst import page as page
    from h5burst.arrays import csr as csr
    from h5burst.checking import verify as verify
    from h5burst.copying.repacking import Repacked as Repacked
    from h5burst.copying.repacking import compact as compact
    from h5burst.copying.repacking import repack as repack
    from h5burst.copying.salvaging import Salvaged as Salvaged
    from h5burst.copying.salvaging import salvage as salvage
    from h5burst.describing import Described as Described
    from h5burst.describing import FileInfo as FileInfo
    from h5burst.describing import info as info
    from h5burst.dicts import load as load
    from h5burst.dicts import save as save
    from h5burst.differences import Difference as Difference
    from h5burst.differences import diff as diff
    from h5burst.direct_chunks import compress_into as compress_into
    from h5burst.direct_chunks import decompress_from as decompress_from
    from h5burst.format.superblock import is_hdf5 as is_hdf5
    from h5burst.memory.accounting import resident_bytes as resident_bytes
    from h5burst.memory.accounting import spilled_bytes as spilled_bytes
    from h5burst.memory.budget import BUDGET_VARIABLE as BUDGET_VARIABLE
    from h5burst.memory.budget import format_bytes as format_bytes
    from h5burst.memory.budget import memory_budget as memory_budget
    from h5burst.memory.budget import parse_bytes as parse_bytes
    from h5burst.memory.scratch import Scratch as Scratch
    from h5burst.memory.scratch import scratch_directory as scratch_directory
    from h5burst.memory.spill import SpillManager as SpillManager
    from h5burst.model import values as values
    from h5burst.model.errors import CorruptFileError as CorruptFileError
    from h5burst.model.errors import MissingFilterError as MissingFilterError
    from h5burst.model.errors import Problem as Problem
    from h5burst.model.errors import StaleFileError as StaleFileError
    from h5burst.model.errors import UnfinishedFileError as UnfinishedFileError
    from h5burst.model.lazy_dict import LazyDict as LazyDict
    from h5burst.model.source import ArraySource as ArraySource
    from h5burst.model.source import BlockSource as BlockSource
    from h5burst.model.source import as_source as as_source
    from h5burst.model.source import is_source as is_source
    from h5burst.model.tagged_json import load_json as load_json
    from h5burst.model.tagged_json import load_texts as load_texts
    from h5burst.model.tree import Array as Array
    from h5burst.model.tree import CommittedType as CommittedType
    from h5burst.model.tree import ExternalLink as ExternalLink
    from h5burst.model.tree import Group as Group
    from h5burst.model.tree import Node as Node
    from h5burst.model.tree import Reference as Reference
    from h5burst.model.tree import SoftLink as SoftLink
    from h5burst.model.tree import Storage as Storage
    from h5burst.model.tree import UnsupportedValueError as UnsupportedValueError
    from h5burst.model.tree import escape_link as escape_link
    from h5burst.model.tree import numbered_arrays as numbered_arrays
    from h5burst.model.tree import unescape as unescape
    from h5burst.model.values import decode_attributes as decode_attributes
    from h5burst.model.values import decode_value as decode_value
    from h5burst.model.values import encode_attributes as encode_attributes
    from h5burst.model.values import encode_value as encode_value
    from h5burst.model.values import from_json as from_json
    from h5burst.model.values import to_json as to_json
    from h5burst.read.blocks import DatasetBlocks as DatasetBlocks
    from h5burst.read.blocks import read_ahead as read_ahead
    from h5burst.read.damaged import DamagedNode as DamagedNode
    from h5burst.read.files import open_file as open_file
    from h5burst.read.files import read_tree as read_tree
    from h5burst.read.files import unfinished_attributes as unfinished_attributes
    from h5burst.read.lazy import LazyArray as LazyArray
    from h5burst.read.open_file import keeping_open as keeping_open
    from h5burst.read.opened import LazyFile as LazyFile
    from h5burst.read.opened import LazyGroup as LazyGroup
    from h5burst.read.opened import open as open
    from h5burst.runtime import durable as durable
    from h5burst.runtime import locks as locks
    from h5burst.runtime import processes as processes
    from h5burst.runtime import simd as simd
    from h5burst.runtime.gc_pause import collection_paused as collection_paused
    from h5burst.runtime.threads import parallel_map as parallel_map
    from h5burst.runtime.threads import split_evenly as split_evenly
    from h5burst.runtime.threads import thread_count as thread_count
    from h5burst.write.graft import graft as graft
    from h5burst.write.graft import remove as remove
    from h5burst.write.graft import set_attributes as set_attributes
    from h5burst.write.native import NeedsLibhdf5Error as NeedsLibhdf5Error
    from h5burst.write.transaction import Transaction as Transaction
    from h5burst.write.transaction import edit as edit
    from h5burst.write.whole_file import write_tree as write_tree
    from h5burst.write.whole_file import write_tree_into_scratch as write_tree_into_scratch

__version__ = "0.2.0"

# Module below this package -> the names that it brings.
_NAMES: dict[str, tuple[str, ...]] = {
    "": ("codecs", "console", "page"),
    "arrays": ("csr",),
    "dicts": ("load", "save"),
    "direct_chunks": ("compress_into", "decompress_from"),
    "format.superblock": ("is_hdf5",),
    "memory.accounting": ("resident_bytes", "spilled_bytes"),
    "memory.budget": ("BUDGET_VARIABLE", "format_bytes", "memory_budget", "parse_bytes"),
    "memory.scratch": ("Scratch", "scratch_directory"),
    "memory.spill": ("SpillManager",),
    "model": ("values",),
    "model.errors": ("CorruptFileError", "MissingFilterError", "Problem", "StaleFileError", "UnfinishedFileError"),
    "model.lazy_dict": ("LazyDict",),
    "model.tagged_json": ("load_json", "load_texts"),
    "model.source": ("ArraySource", "BlockSource", "as_source", "is_source"),
    "model.tree": (
        "Array",
        "CommittedType",
        "ExternalLink",
        "Group",
        "Node",
        "Reference",
        "SoftLink",
        "Storage",
        "UnsupportedValueError",
        "escape_link",
        "numbered_arrays",
        "unescape",
    ),
    "model.values": (
        "decode_attributes",
        "decode_value",
        "encode_attributes",
        "encode_value",
        "from_json",
        "to_json",
    ),
    "read.blocks": ("DatasetBlocks", "read_ahead"),
    "read.damaged": ("DamagedNode",),
    "read.lazy": ("LazyArray",),
    "read.open_file": ("keeping_open",),
    "read.opened": ("LazyFile", "LazyGroup", "open"),
    "runtime": ("durable", "locks", "processes", "simd"),
    "runtime.gc_pause": ("collection_paused",),
    "runtime.threads": ("parallel_map", "split_evenly", "thread_count"),
    "read.files": ("open_file", "read_tree", "unfinished_attributes"),
    "write.graft": ("graft", "remove", "set_attributes"),
    "write.whole_file": ("write_tree", "write_tree_into_scratch"),
    "checking": ("verify",),
    "copying.salvaging": ("Salvaged", "salvage"),
    "describing": ("Described", "FileInfo", "info"),
    "differences": ("Difference", "diff"),
    "copying.repacking": ("Repacked", "compact", "repack"),
    "write.native": ("NeedsLibhdf5Error",),
    "write.transaction": ("Transaction", "edit"),
}
_PACKAGES = ("", "arrays", "model", "runtime")  # whose names are modules
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module in _PACKAGES:
        found: Any = importlib.import_module(".".join(filter(None, (__name__, module, name))))
    else:
        found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
