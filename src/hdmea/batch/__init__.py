"""Many recordings: a manifest in, one HDF5 file a recording out, on a laptop or a cluster."""
