"""libhdf5 in a process of its own, which a malformed file may crash."""
