"""Files that MATLAB's `h5read` opens without plugins."""

from __future__ import annotations

from pathlib import Path

from hdmea.bridges.units import Source


def export_matlab(source: Source, output: str | Path, *, overwrite: bool = False) -> Path:
    raise NotImplementedError
