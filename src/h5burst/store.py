"""The earlier path of the verbs on files, which are importable from `h5burst`."""

import warnings

from h5burst.format.constants import LIBVER as LIBVER
from h5burst.read.files import open_file as open_file
from h5burst.read.files import read_tree as read_tree
from h5burst.write.graft import graft as graft
from h5burst.write.graft import remove as remove
from h5burst.write.graft import set_attributes as set_attributes
from h5burst.write.whole_file import write_tree as write_tree
from h5burst.write.whole_file import write_tree_into_scratch as write_tree_into_scratch

warnings.warn("h5burst.store is deprecated: import its functions from h5burst", DeprecationWarning, stacklevel=2)
