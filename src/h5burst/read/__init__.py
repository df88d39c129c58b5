"""Reading files without libhdf5: whole trees, lazy trees, streams of blocks."""
