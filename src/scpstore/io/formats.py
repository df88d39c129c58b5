"""Files of any of the formats that containers come in: what a file is, reading it, writing one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from h5burst import Group, Storage, codecs, states
from scpstore.core.exceptions import AssayNotFoundError, LayerNotFoundError, ValidationError
from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import open_table
from scpstore.io.engines.any_report import READERS, read_report
from scpstore.io.engines.mztab import is_mztab
from scpstore.io.exceptions import IOFormatError
from scpstore.io.exporters import save_hdf5
from scpstore.io.importers import load_hdf5, read_checked
from scpstore.io.interchange import read_h5ad, write_h5ad
from scpstore.io.modalities import read_h5mu, write_h5mu
from scpstore.io.report_kinds import MZTAB, report_of
from scpstore.io.tables import TABLE_SUFFIXES, check_orientation, read_table, write_table

HDF5_SUFFIXES = (".h5", ".hdf5")
OUTPUT_SUFFIXES = (*HDF5_SUFFIXES, ".h5ad", ".h5mu", *TABLE_SUFFIXES)
INPUT_SUFFIXES = (*OUTPUT_SUFFIXES, ".csv.gz", ".tsv.gz", ".txt.gz", ".mztab")

CONTAINER, ANNDATA, MUDATA, TABLE = "container", "AnnData", "MuData", "table"
RECORDING, HDF5 = "hdmea recording", "HDF5 file of another kind"


@dataclass(frozen=True)
class Options:
    """Options of reading and writing; None (False): nothing was said."""

    cells: Path | None = None
    assay: str | None = None
    layer: str | None = None
    orientation: str | None = None
    q_value: float | None = None
    make_unique: bool = False
    compression: str | None = None
    level: int | None = None
    at: str | None = None

    def refuse(self, names: tuple[str, ...], why: str) -> None:
        """Raise `ValidationError` where one of these was said: it would not act."""
        said = [name for name in names if getattr(self, name) not in (None, False)]
        if said:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in said)
            raise ValidationError(f"{words} {'does' if len(said) == 1 else 'do'} nothing here: {why}", said[0])

    def checks(self) -> tuple[Callable[[], object], ...]:
        """Checks of what can be known to be wrong before a file is read; each raises `ValidationError`."""
        compression = self.compression if self.compression == "none" or codecs.is_known(self.compression) else None
        return (
            lambda: _storage(replace(self, level=None)),
            lambda: _storage(replace(self, compression=compression)),
            lambda: check_orientation(self.orientation or "auto"),
        )


def suffix_of(path: Path) -> str:
    """The suffix that says the format, with ".gz"."""
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def kind_of(path: str | os.PathLike[str]) -> str:
    """The format of a file, by what is in it. Raises FileNotFoundError, `IOFormatError` for none of the formats."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if suffix_of(path) in (*TABLE_SUFFIXES, ".csv.gz", ".tsv.gz", ".txt.gz"):
        return report_of(open_table(path).columns) or TABLE
    if is_mztab(path):
        return MZTAB
    root = read_checked(path, lazy=True)
    if "hdmea_pipeline_version" in root.attrs:
        return RECORDING
    if "assays" in root.children or "scptensor_version" in root.attrs:
        return CONTAINER
    if isinstance(root.children.get("mod"), Group):
        return MUDATA
    return ANNDATA if {"obs", "var"} <= set(root.children) else HDF5


def read_any(path: str | os.PathLike[str], options: Options | None = None) -> ScpContainer:
    """The container in a file of any of the formats; layers of HDF5 files stay in the file.

    Raises FileNotFoundError, `IOFormatError`, and `ValidationError` for an option that would not act.
    """
    path, options = Path(path), options or Options()
    kind = kind_of(path)
    if kind != CONTAINER:
        options.refuse(("at",), f"{path} is not a container's .h5 file")
    options_of_tables = ("cells", "orientation", "q_value")
    if kind == CONTAINER:
        options.refuse((*options_of_tables, "make_unique"), f"{path} is a container")
        return load_hdf5(path, lazy=True, at=states.state_of(options.at))
    if kind == ANNDATA:
        options.refuse(options_of_tables, f"{path} is an AnnData file")
        assay = options.assay or "proteins"
        return read_h5ad(path, assay, make_unique=options.make_unique, backed=_may_stay_in_its_file(path))
    if kind == MUDATA:
        options.refuse((*options_of_tables, "assay"), f"{path} is a MuData file")
        return read_h5mu(path, make_unique=options.make_unique, backed=True)
    if kind in READERS:
        return _read_report(path, kind, options)
    if kind == TABLE:
        options.refuse(("q_value", "make_unique"), f"{path} is a table without q-values")
        orientation: Any = options.orientation or "samples_in_rows"
        return read_table(path, options.cells, options.assay or "proteins", orientation=orientation)
    raise IOFormatError(
        f"{path} is not a container: it is {'a recording of hdmea' if kind == RECORDING else f'an {kind}'}"
    )


def _may_stay_in_its_file(path: Path) -> bool:
    """True for an AnnData file of now, whose X is dense or sparse, or which has none."""
    root = read_checked(path, lazy=True)
    x = root.children.get("X")
    if x is None:
        return root.attrs.get("encoding-type") == "anndata"
    return x.attrs.get("encoding-type") in ("array", "csr_matrix", "csc_matrix")


def _read_report(path: Path, kind: str, options: Options) -> ScpContainer:
    options.refuse(("orientation", "make_unique"), f"{path} is a {kind}")
    return read_report(path, options.cells, q_value=options.q_value)


def write_any(
    container: ScpContainer, path: str | os.PathLike[str], options: Options | None = None, *, overwrite: bool = False
) -> list[Path]:
    """Write a container in the format that the suffix says; gives all files that were written.

    `.h5` and `.hdf5` hold all of it, or the assay and layer that the options name; `.h5ad` one assay with its layers,
    or with the one that is named; `.h5mu` all assays; tables one layer, and the table of samples beside it. Raises
    ValueError for another suffix, `AssayNotFoundError`, `LayerNotFoundError`, and `ValidationError` for an option that
    would not act or a choice that must be made.
    """
    path, options = Path(path), options or Options()
    suffix = suffix_of(path)
    if suffix not in OUTPUT_SUFFIXES:
        raise ValueError(f"Unsupported file suffix {suffix!r} of {path}: use one of {', '.join(OUTPUT_SUFFIXES)}")
    if suffix in HDF5_SUFFIXES:
        _write_hdf5(container, path, options, overwrite)
        return [path]
    if suffix == ".h5mu":
        options.refuse(("assay", "layer"), f"{path} takes all assays")
        storage = _storage(options)
        write_h5mu(container, path, compression=storage.codec, compression_level=storage.level, overwrite=overwrite)
        return [path]
    if suffix != ".h5ad":
        options.refuse(("compression", "level"), f"it is for HDF5 files, {path} is none")
    assay = _only_assay(container, options.assay)
    if suffix == ".h5ad":
        _known_layer(container, assay, options.layer)
        storage = _storage(options)
        write_h5ad(
            container,
            path,
            assay,
            options.layer,
            layers="all" if options.layer is None else (),
            compression=storage.codec,
            compression_level=storage.level,
            overwrite=overwrite,
        )
        return [path]
    return write_table(container, path, assay, _only_layer(container, assay, options.layer), overwrite=overwrite)


def _storage(options: Options) -> Storage:
    """The codec of files, and the level, if one was named. Raises `ValidationError`."""
    compression = options.compression or "gzip"
    try:
        return codecs.storage_for(None if compression == "none" else compression, options.level)
    except ValueError as error:
        raise ValidationError(f"--compression, --level: {error}", "compression") from error


def _write_hdf5(container: ScpContainer, path: Path, options: Options, overwrite: bool) -> None:
    storage = _storage(options)
    if options.assay is not None and options.assay not in container.assays:
        raise AssayNotFoundError(options.assay, container.assays)
    if options.layer is not None and not any(options.layer in assay.layers for assay in container.assays.values()):
        layers = dict.fromkeys(name for assay in container.assays.values() for name in assay.layers)
        raise LayerNotFoundError(options.layer, options.assay, layers)
    save_hdf5(
        container,
        path,
        compression=storage.codec,
        compression_level=4 if storage.level is None else storage.level,
        save_assays=None if options.assay is None else [options.assay],
        save_layers=None if options.layer is None else [options.layer],
        overwrite=overwrite,
    )


def _only_assay(container: ScpContainer, requested: str | None) -> str:
    names = list(container.assays)
    if requested is None and len(names) == 1:
        return names[0]
    if requested is None:
        raise ValidationError(f"choose with --assay one of: {', '.join(names) or '(there is none)'}", "assay")
    if requested not in names:
        raise AssayNotFoundError(requested, names)
    return requested


def _known_layer(container: ScpContainer, assay: str, requested: str | None) -> None:
    layers = container.assays[assay].layers
    if requested is not None and requested not in layers:
        raise LayerNotFoundError(requested, assay, layers)


def _only_layer(container: ScpContainer, assay: str, requested: str | None) -> str:
    """The layer that was asked for, else the only one, else "X"."""
    _known_layer(container, assay, requested)
    names = list(container.assays[assay].layers)
    if requested is not None:
        return requested
    if len(names) == 1 or "X" in names:
        return names[0] if len(names) == 1 else "X"
    raise ValidationError(f"choose with --layer one of: {', '.join(names) or '(there is none)'}", "layer")
