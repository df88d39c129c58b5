"""Files of tables, written part by part: Parquet, Arrow, CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from hdmea.bridges.extras import required
from hdmea.utils.cells import FORMULA, text_cell
from hdmea.utils.exceptions import ConfigurationError

FORMATS = {".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
_SEPARATORS = {"csv": ",", "tsv": "\t"}
UNIT_KEY, DESCRIPTION_KEY = b"unit", b"description"


def checked_format(path: Path, *, lists: bool = False) -> str:
    """The format that a path's suffix names. Raises `ConfigurationError` for another, or one that holds no lists."""
    file_format = FORMATS.get(path.suffix.lower())
    possible = {suffix: name for suffix, name in FORMATS.items() if not (lists and name in _SEPARATORS)}
    if file_format is None or (lists and file_format in _SEPARATORS):
        why = "holds no lists, of which traces consist" if file_format else "is not a table's suffix"
        raise ConfigurationError(f"{path}: {path.suffix or 'no suffix'} {why}; use one of {', '.join(possible)}")
    return file_format


class TableWriter:
    """A table that is written frame by frame; use it in a `with` block.

    Parameters
    ----------
    path
        The file, written anew.
    form
        A value of `FORMATS`.
    types
        Polars types of the columns, in their order; every frame has them.
    facts
        Unit and description of each column: metadata of the fields of Parquet and Arrow files. CSV cannot hold them;
        there, text that a spreadsheet would compute is behind an apostrophe.

    Raises
    ------
    MissingExtraError
        Parquet and Arrow need pyarrow.
    """

    def __init__(
        self, path: Path, form: str, types: Mapping[str, pl.DataType], facts: Mapping[str, tuple[str, str]]
    ) -> None:
        self._separator = _SEPARATORS.get(form)
        self._empty = pl.DataFrame(schema=dict(types))
        self._stream: Any = None
        self._writer: Any = None
        if self._separator is not None:
            self._stream = path.open("w", encoding="utf-8", newline="")
            header = self._empty.rename({name: text_cell(name) for name in self._empty.columns})
            self._stream.write(header.write_csv(separator=self._separator))
            return
        arrow = required("pyarrow", f"a table in {form}")
        self._schema = _with_facts(arrow, self._empty.to_arrow().schema, facts)
        if form == "parquet":
            self._writer = required("pyarrow.parquet", "a table in parquet").ParquetWriter(
                path, self._schema, compression="zstd"
            )
        else:
            self._writer = arrow.ipc.new_file(str(path), self._schema)

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows; Parquet: as a row group of their own."""
        if not len(frame):
            return
        if self._separator is not None:
            safe = frame.with_columns(_text_cell(name) for name, kind in frame.schema.items() if kind == pl.String)
            self._stream.write(safe.write_csv(separator=self._separator, include_header=False))
            return
        self._writer.write_table(frame.to_arrow().cast(self._schema))

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._stream or self._writer).close()


def _text_cell(name: str) -> pl.Expr:
    """As `hdmea.utils.cells.text_cell`, of a whole column."""
    column = pl.col(name)
    is_formula = column.str.contains(FORMULA) & column.cast(pl.Float64, strict=False).is_null()
    return pl.when(is_formula).then(pl.concat_str(pl.lit("'"), column)).otherwise(column).alias(name)


def _with_facts(arrow: Any, schema: Any, facts: Mapping[str, tuple[str, str]]) -> Any:
    fields = []
    for each in schema:
        unit, description = facts.get(each.name, ("", ""))
        said = {UNIT_KEY: unit.encode(), DESCRIPTION_KEY: description.encode()}
        fields.append(each.with_metadata({key: text for key, text in said.items() if text}))
    return arrow.schema(fields)
