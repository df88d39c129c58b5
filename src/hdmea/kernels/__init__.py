"""Checked entry points to the compiled kernels: one module a kernel family."""
