"""h5burst: trees of arrays to HDF5 files and back, fast, durable and within a memory budget."""

from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, BlockSource, Group, Node, Storage, UnsupportedValueError

__all__ = ["Array", "BlockSource", "CorruptFileError", "Group", "Node", "Storage", "UnsupportedValueError"]
__version__ = "0.1.0"
