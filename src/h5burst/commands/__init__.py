"""The commands of `h5burst`, by what they are for."""
