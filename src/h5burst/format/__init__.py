"""The HDF5 file format: one file a structure, encoded and decoded side by side."""
