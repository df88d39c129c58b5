"""libhdf5 in a process of its own, which a stranger's file may crash."""
