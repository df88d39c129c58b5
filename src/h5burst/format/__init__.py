"""The HDF5 file format: one file a structure, encoded and decoded side by side."""

from h5burst._ext.h5parse import set_errors
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

set_errors(CorruptStructureError, UnsupportedFeatureError)
