"""The earlier path of the verbs on files; they are importable from `h5burst`."""

from h5burst.format.constants import LIBVER
from h5burst.read.files import open_file, read_tree
from h5burst.write.graft import graft, remove, set_attributes
from h5burst.write.whole_file import write_tree, write_tree_into_scratch

__all__ = [
    "LIBVER",
    "graft",
    "open_file",
    "read_tree",
    "remove",
    "set_attributes",
    "write_tree",
    "write_tree_into_scratch",
]
