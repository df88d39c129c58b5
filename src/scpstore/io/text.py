"""Text tables and Parquet files: what separates their columns is found out and checked, never guessed."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from scpstore.io.exceptions import IOFormatError

SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon"}
MISSING = [
    "",
    "NA",
    "NaN",
    "nan",
    "null",
    "None",
    "N/A",
    "n/a",
    "#N/A",
    "#NA",
    "#NUM!",
    "#VALUE!",
    "#DIV/0!",
    "Filtered",
]
_SAMPLE_ROWS = 50
_SAMPLE_BYTES = 1 << 24
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+([eE][+-]?\d+)?")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "a zip archive or Excel workbook"}


@dataclass(frozen=True)
class Table:
    """A table in a file: its columns, and for text what separates them."""

    path: Path
    columns: tuple[str, ...]
    separator: str | None = None  # None: Parquet
    decimal_comma: bool = False
    row_names: bool = False  # R: one name fewer in the header than there are columns

    def read(self, columns: Sequence[str] | None = None, numbers: Sequence[str] = ()) -> pl.DataFrame:
        """Columns by name (None: all) as text, `numbers` among them as float64; missing values are null.

        Raises `IOFormatError` that names the column and line of what is not a number.
        """
        wanted = list(self.columns if columns is None else columns)
        if self.separator is None:
            frame = pl.scan_parquet(self.path).select(wanted).collect()
        else:
            frame = self._read_text(wanted)
        numeric = [number_column(self.path, frame.get_column(name), self.decimal_comma) for name in numbers]
        return frame.with_columns(numeric)

    def _read_text(self, wanted: list[str]) -> pl.DataFrame:
        schema: dict[str, Any] = {f"column {place}": pl.String() for place in range(len(self.columns))}
        place = {name: f"column {number}" for number, name in enumerate(self.columns)}
        try:
            scan = pl.scan_csv(
                self.path, separator=self.separator or ",", has_header=False, skip_rows=1, schema=schema,
                null_values=MISSING, truncate_ragged_lines=False,
            )  # fmt: skip
            return scan.select(pl.col(place[name]).alias(name) for name in wanted).collect()
        except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise IOFormatError(self._what_is_wrong(error)) from error

    def _what_is_wrong(self, error: Exception) -> str:
        """In our words: the first line that has another number of fields than the header."""
        with open_text(self.path) as stream:
            rows = csv.reader(stream, delimiter=self.separator or ",")
            try:
                for number, row in enumerate(rows, 1):
                    if row and number > 1 and len(row) != len(self.columns):
                        return f"{self.path}, line {number}: {len(row)} fields, the header has {len(self.columns)}"
            except (UnicodeDecodeError, csv.Error) as fault:
                return f"{self.path} is not text in UTF-8: {fault}"
        return f"{self.path} cannot be read as a table: {next(iter(str(error).splitlines()), '')[:200]}"


def number_column(path: Path, series: pl.Series, decimal_comma: bool = False) -> pl.Series:
    """A column as float64. Raises `IOFormatError` that names the line of the first value that is not a number."""
    if series.dtype.is_numeric() or series.dtype == pl.Null:
        plain: pl.Series = series.cast(pl.Float64)
        return plain
    text = series.cast(pl.String).str.strip_chars()
    text = text.str.replace(",", ".", literal=True) if decimal_comma else text
    text = text.replace(dict.fromkeys(MISSING))
    made: pl.Series = text.cast(pl.Float64, strict=False)
    wrong = (made.is_null() & text.is_not_null()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise IOFormatError(f"{path}, line {row + 2}, column {series.name!r}: {series[row]!r} is not a number")
    return made


def open_text(path: Path) -> IO[str]:
    """A text file, gzipped or not."""
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def open_table(path: Path, separator: str | None = None) -> Table:
    """What a file's columns are. Raises FileNotFoundError, and `IOFormatError` for what is not a table."""
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if path.suffix.lower() == ".parquet":
        try:
            return Table(path, tuple(pl.read_parquet_schema(path)))
        except (pl.exceptions.PolarsError, OSError) as error:
            first = next(iter(str(error).splitlines()), "")
            raise IOFormatError(f"{path} cannot be read as a Parquet file: {first:.200}") from error
    lines = _first_lines(path)
    if not any(line.strip() for line in lines):
        raise IOFormatError(f"{path} is empty: expected a header of names")
    found = separator or _separator(path, lines)
    rows = [row for row in csv.reader(lines, delimiter=found) if row]
    header, body = rows[0], rows[1:]
    row_names = bool(body) and all(len(row) == len(header) + 1 for row in body)
    columns = ["", *header] if row_names else header
    twice = sorted({name for name in columns if columns.count(name) > 1}) if len(set(columns)) < len(columns) else []
    if twice:
        raise IOFormatError(f"{path}: names in the header are not unique: {twice[:5]}")
    commas = found == ";" and any(_DECIMAL_COMMA.fullmatch(value.strip()) for row in body for value in row)
    return Table(path, tuple(columns), found, commas, row_names)


def _first_lines(path: Path) -> list[str]:
    """The first lines of a text file. Raises `IOFormatError` that names the file for what is not UTF-8 text."""
    with open(path, "rb") as stream:
        head = stream.read(4)
    for mark, what in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            raise IOFormatError(f"{path} is {what}, not text in UTF-8: save it as text (UTF-8)")
    lines, size = [], 0
    try:
        with open_text(path) as stream:
            for line in stream:
                lines.append(line)
                size += len(line)
                if len(lines) > _SAMPLE_ROWS or size > _SAMPLE_BYTES:
                    break
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise IOFormatError(f"{path} is not text in UTF-8 ({error}): save it as UTF-8") from error
    if any("\0" in line for line in lines):
        raise IOFormatError(f"{path} holds NUL characters: it is not a text table")
    return lines


def _separator(path: Path, lines: list[str]) -> str:
    """The separator by which all lines have as many fields (R: the header one fewer). Raises `IOFormatError`."""
    counts = {}
    for separator in SEPARATORS:
        fields = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        counts[separator] = fields
        if fields and len(set(fields[1:])) <= 1 and fields[0] > 1 and fields[-1] - fields[0] in (0, 1):
            counts[separator] = [fields[-1]]
    whole = {separator: fields[0] for separator, fields in counts.items() if len(fields) == 1 and fields[0] > 1}
    if whole:
        return max(whole, key=lambda separator: whole[separator])
    best = max(counts, key=lambda separator: counts[separator][0])
    if counts[best][0] < 2:
        raise IOFormatError(f"{path} has one column only: expected columns separated by tabs, commas or semicolons")
    wrong = next(number for number, count in enumerate(counts[best], 1) if count != counts[best][0])
    message = f"{counts[best][wrong - 1]} fields ({SEPARATORS[best]}-separated), the header has {counts[best][0]}"
    raise IOFormatError(f"{path}, line {wrong}: {message}")
