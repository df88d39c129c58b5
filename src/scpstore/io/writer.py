"""Containers that come in blocks of samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import durable
from scpstore.core.exceptions import AssayNotFoundError
from scpstore.core.matrix import as_mask, as_values
from scpstore.core.structures import AggregationLink, Assay, ProvenanceLog, ScpContainer, ScpMatrix
from scpstore.io.exceptions import IOWriteError, writing
from scpstore.io.exporters import matrix_storage, save_hdf5, scratch_directory
from scpstore.io.spool import CsrRows, CsrSpool, DenseSpool

_Spool = CsrSpool | DenseSpool
_INT8 = np.dtype(np.int8)


class ContainerWriter:
    """Writes a container of which blocks of samples are added one after the other; the file appears at `close`.

    Blocks are kept in unnamed files beside the target, so memory holds one of them. As a context manager it is closed
    at the end of the block, and nothing is written when the block ends in an exception.

    Parameters
    ----------
    path
        The file.
    obs
        The table of all samples, in the order in which their blocks will come.
    assays
        The table of features of each assay, by its name.
    links, history, sample_id_col
        As of `ScpContainer`.
    feature_id_col
        The ID column of all feature tables.
    compression, compression_level, overwrite
        As of `save_hdf5`.

    Raises
    ------
    ValueError
        Parts that do not fit together, an unknown compression.
    IOWriteError
        The file exists.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import ContainerWriter
    >>> obs, var = pl.DataFrame({"_index": ["A", "B", "C"]}), pl.DataFrame({"_index": ["P1", "P2"]})
    >>> with ContainerWriter("blocks.h5", obs, {"proteins": var}) as writer:
    ...     writer.append("proteins", "X", np.ones((2, 2)))
    ...     writer.append("proteins", "X", np.zeros((1, 2)))
    >>> load_hdf5("blocks.h5").assay_shape("proteins")
    (3, 2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        obs: pl.DataFrame,
        assays: Mapping[str, pl.DataFrame],
        *,
        links: Iterable[AggregationLink] = (),
        history: Iterable[ProvenanceLog] = (),
        sample_id_col: str = "_index",
        feature_id_col: str = "_index",
        compression: str | None = "gzip",
        compression_level: int = 4,
        overwrite: bool = False,
    ) -> None:
        matrix_storage(compression, compression_level)
        self._path = Path(path)
        with writing(self._path):
            durable.require_absent(self._path, overwrite)
        assays_given = {name: Assay(var, feature_id_col=feature_id_col) for name, var in assays.items()}
        self._container = ScpContainer(obs, assays_given, links, history, sample_id_col)
        self._options: dict[str, Any] = {
            "compression": compression, "compression_level": compression_level, "overwrite": overwrite,
        }  # fmt: skip
        self._layers: dict[tuple[str, str], dict[str, _Spool]] = {}
        self._closed = False

    def append(self, assay: str, layer: str, X: Any, M: Any = None) -> None:
        """Add the next samples of a layer.

        Parameters
        ----------
        assay, layer
            Where they belong.
        X
            (samples, features) values, sparse or dense as the first block of the layer.
        M
            Mask codes of the same shape; a layer has them in all its blocks or in none.

        Raises
        ------
        AssayNotFoundError
            There is no such assay.
        ValueError
            A block that does not fit those before it.
        IOWriteError
            More samples than there are, a closed writer, or a full disk.
        """
        if self._closed:
            raise IOWriteError("the writer is closed", self._path)
        if assay not in self._container.assays:
            raise AssayNotFoundError(assay, self._container.assays)
        X = as_values(X)
        blocks = {"X": X} if M is None else {"X": X, "M": as_mask(M, tuple(X.shape))}
        spools = self._layers.get((assay, layer))
        if spools is None:
            width = self._container.assays[assay].n_features
            spools = {name: self._spool(block, width, name) for name, block in blocks.items()}
            self._layers[assay, layer] = spools
        if spools.keys() != blocks.keys():
            raise ValueError(f"layer {layer!r} of {assay!r}: a mask comes with all blocks or with none")
        rows = spools["X"].rows + X.shape[0]
        if rows > self._container.n_samples:
            message = f"layer {layer!r} of {assay!r}: {rows} samples, obs has {self._container.n_samples}"
            raise IOWriteError(message, self._path)
        try:
            with writing(self._path):
                for name, block in blocks.items():
                    spools[name].append(block)
        except ValueError as error:
            raise ValueError(f"layer {layer!r} of {assay!r}: {error}") from error

    def _spool(self, block: Any, width: int, name: str) -> _Spool:
        kind = CsrSpool if sp.issparse(block) else DenseSpool
        return kind(width, _INT8 if name == "M" else block.dtype, scratch_directory(self._path))

    def close(self) -> None:
        """Write the file.

        Raises
        ------
        IOWriteError
            A layer of which samples are missing (then nothing is written), or a full disk.
        """
        if self._closed:
            return
        try:
            for (assay, layer), spools in self._layers.items():
                done, expected = spools["X"].rows, self._container.n_samples
                if done != expected:
                    raise IOWriteError(f"layer {layer!r} of {assay!r}: {done} samples, obs has {expected}", self._path)
                X = _source(spools["X"])
                M = _source(spools["M"]) if "M" in spools else None
                self._container.assays[assay].add_layer(layer, ScpMatrix(X, M))
            save_hdf5(self._container, self._path, **self._options)
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up: nothing is written, and the disk space of the blocks is given back."""
        self._closed = True
        for spools in self._layers.values():
            for spool in spools.values():
                spool.close()

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _source(spool: _Spool) -> Any:
    return CsrRows(spool) if isinstance(spool, CsrSpool) else spool
