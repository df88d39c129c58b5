"""Compiled kernels (sources in `ext/`); call them through `hdmea.kernels`, which checks the arguments."""
