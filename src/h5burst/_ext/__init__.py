"""Compiled kernels (sources in `ext/`); call them through `h5burst.kernels`, which checks the arguments."""
