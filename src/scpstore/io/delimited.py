"""Text tables and Parquet files: what separates their columns is found out and checked, never guessed."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import report_of

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
_LONGEST_FIELD = 1 << 30
_SAMPLE_BYTES = 1 << 24
_DECIMAL_COMMA = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "a zip archive or Excel workbook"}


@dataclass(frozen=True)
class Table:
    """A table in a file: its columns, and for text what separates them."""

    path: Path
    columns: tuple[str, ...]
    separator: str | None = None  # None: Parquet
    row_names: bool = False  # R: one name fewer in the header than there are columns

    def read(self, columns: Sequence[str] | None = None, numbers: Sequence[str] = ()) -> pl.DataFrame:
        """Columns by name (None: all) as text, `numbers` among them as float64; missing values are null.

        Raises `IOFormatError` that names the column and line of what is not a number.
        """
        names = list(self.columns if columns is None else columns)
        is_parquet = self.separator is None
        frame = pl.scan_parquet(self.path).select(names).collect() if is_parquet else self._read_text(names)
        return frame.with_columns(self.numbers([frame.get_column(name) for name in numbers]))

    def numbers(self, columns: Sequence[pl.Series]) -> list[pl.Series]:
        """Columns as float64, with points or commas before their decimals: all of the table's with the same.

        Raises `IOFormatError` that names the column and line of what is not a number, or not surely one.
        """
        stated = (
            []
            if self.separator == ","
            else [with_commas for series in columns if (with_commas := _with_commas(series)).len()]
        )
        if stated and all(texts.str.contains(_THOUSANDS).all() for texts in stated):
            raise IOFormatError(
                f"{self.path}, column {stated[0].name!r}: {stated[0][0]!r} may have decimals or thousands (all numbers "
                "with a comma have three digits behind it): write numbers with points"
            )
        return [number_column(self.path, series, bool(stated)) for series in columns]

    def sink(self, target: Path) -> None:
        """Write all of a text table as Parquet, a batch of rows in memory at a time. Raises as `read`."""
        last = self.columns[-1]
        numbered = {name: f"column {number}" for number, name in enumerate(self.columns)}
        try:
            self._scan().select(pl.col(numbered[name]).alias(name) for name in self.columns).sink_parquet(target)
        except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if pl.scan_parquet(target).select(pl.col(last).null_count()).collect().item():
            empty, short = self._check_rows()
            if empty:
                raise IOFormatError(f"{self.path}: {empty} empty lines at its end: remove them")
            self._tell_short(short)

    def _unreadable(self, error: Exception) -> IOFormatError:
        self._check_rows()
        first = next(iter(str(error).splitlines()), "")
        return IOFormatError(f"{self.path} cannot be read as a table: {first:.200}")

    def _tell_short(self, short: int) -> None:
        if short:
            message = f"{self.path}: {short} lines lack fields at their end: they are read as empty"
            warnings.warn(message, UserWarning, stacklevel=4)

    def _scan(self) -> pl.LazyFrame:
        """All rows as text, in columns by their place."""
        schema: dict[str, Any] = {f"column {number}": pl.String() for number in range(len(self.columns))}
        skipped = int(self.row_names)  # else the header says how many fields there are: the first row may lack some
        scan = pl.scan_csv(
            self.path, separator=self.separator or ",", has_header=False, skip_rows=skipped, schema=schema,
            null_values=MISSING, truncate_ragged_lines=False,
        )  # fmt: skip
        return scan.slice(1 - skipped)

    def _read_text(self, names: list[str]) -> pl.DataFrame:
        numbered = {name: f"column {number}" for number, name in enumerate(self.columns)}
        last = self.columns[-1]
        try:
            columns = dict.fromkeys([*names, last])
            frame = self._scan().select(pl.col(numbered[name]).alias(name) for name in columns).collect()
        except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if frame.get_column(last).null_count():  # as of lines that end early, which polars fills up
            empty, short = self._check_rows()
            frame = frame.head(frame.height - empty)
            self._tell_short(short)
        return frame.select(names)

    def _check_rows(self) -> tuple[int, int]:
        """Raise `IOFormatError` for a line with more fields than the header, or cut short.

        Editors and spreadsheets take empty fields off the end of lines: such lines are sound, unless it is the last,
        and without its newline. Returns how many lines at the end are empty, and how many lack fields.
        """
        separator, expected = self.separator or ",", len(self.columns) - 1
        try:
            with open_text(self.path) as stream:
                if all(
                    line.count(separator) == expected and '"' not in line for line in itertools.islice(stream, 1, None)
                ):
                    return 0, 0
            with open_text(self.path) as stream:  # there are quotes, or lines that are wrong
                return self._count_fields(stream, separator)
        except (UnicodeDecodeError, csv.Error) as fault:
            raise IOFormatError(f"{self.path} is not text in UTF-8: {fault}") from fault

    def _count_fields(self, stream: Iterable[str], separator: str) -> tuple[int, int]:
        empty = first_empty = short = 0
        ends = _Ends(stream)
        for number, row in enumerate(_split(ends, delimiter=separator), 1):
            if number == 1:
                continue
            if not row:
                first_empty = first_empty or number
                empty += 1
            elif first_empty:
                raise IOFormatError(f"{self.path}, line {first_empty} is empty, and rows follow: remove it")
            elif 1 < len(row) < len(self.columns) and ends.has_newline:
                short += 1
            elif len(row) != len(self.columns):
                cut = "" if ends.has_newline else ": the file ends within it, and may be cut short"
                message = f"{self.path}, line {number}: {len(row)} fields, the header has {self._in_header}{cut}"
                raise IOFormatError(message)
        return empty, short

    @property
    def _in_header(self) -> str:
        return f"{len(self.columns) - 1} and the rows before one more" if self.row_names else f"{len(self.columns)}"

    def check_row_names(self, trailing: bool) -> None:
        """Raise `IOFormatError` unless the first column, which the header does not name, holds names of rows.

        R writes such tables. Other programs do, too, where a name is missing or each line ends with a separator: then
        all values would be read as those of the column beside theirs. trailing: whether the last field of the first
        lines is empty.
        """
        frame = self.read(list(dict.fromkeys([self.columns[0], self.columns[-1]])))
        names, report = frame.get_column(self.columns[0]), report_of(self.columns)
        twice = names.filter(names.is_duplicated())
        count = f"{self.path}, line 2: {len(self.columns)} fields, the header has {len(self.columns) - 1}"
        if trailing and frame.get_column(self.columns[-1]).null_count() == frame.height:
            raise IOFormatError(f"{count}: each line ends with a separator: remove it")
        if names.null_count() or twice.len():
            reason = f"its values are not unique: {twice[0]!r}" if not names.null_count() else "some of it is empty"
        elif report and not names.str.contains(r"^\d+$").all():
            reason = f"in a {report} it must hold whole numbers, as R numbers rows"
        else:
            return
        advice = "add the name that the header lacks (R: write.table(..., row.names = FALSE))"
        raise IOFormatError(f"{count}, and the first column does not hold names of rows ({reason}): {advice}")


def number_column(path: Path, series: pl.Series, decimal_comma: bool = False) -> pl.Series:
    """A column as float64. Raises `IOFormatError` that names the line of the first value that is not a number."""
    if series.dtype.is_numeric() or series.dtype == pl.Null:
        plain: pl.Series = series.cast(pl.Float64)
        return plain
    text = series.cast(pl.String).str.strip_chars()
    text = text.replace(dict.fromkeys(MISSING))
    points = text
    if decimal_comma:  # a point among them would stand between thousands, or come from elsewhere
        points = pl.select(pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", "."))).to_series()
    numbers: pl.Series = points.cast(pl.Float64, strict=False).alias(series.name)
    wrong = (numbers.is_null() & text.is_not_null()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        reason = " (others of the table have decimal commas)" if decimal_comma and "." in series[row] else ""
        raise IOFormatError(f"{path}, line {row + 2}, column {series.name!r}: {series[row]!r} is not a number{reason}")
    return numbers


def _with_commas(series: pl.Series) -> pl.Series:
    """Those values of a column that are numbers with a decimal comma."""
    if series.dtype != pl.String:
        return series.clear()
    some = series.filter(series.str.contains(",", literal=True)).str.strip_chars()
    matching: pl.Series = some.filter(some.str.contains(_DECIMAL_COMMA))
    return matching


def is_text(series: pl.Series) -> bool:
    """True where most of a column is not numbers: a single stray word in a column of values is a fault to be told."""
    if series.dtype != pl.String:
        return False
    filled = series.drop_nulls().str.strip_chars()
    numbers = filled.cast(pl.Float64, strict=False).is_not_null() | filled.str.contains(_DECIMAL_COMMA)
    return bool(2 * numbers.sum() < filled.len())


def open_text(path: Path) -> IO[str]:
    """A text file, gzipped or not."""
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def open_table(path: Path, separator: str | None = None) -> Table:
    """The columns of a file. Raises FileNotFoundError, and `IOFormatError` for what is not a table."""
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
    if not lines[0].strip():
        raise IOFormatError(f"{path}, line 1 is empty: expected a header of names: remove the line")
    delimiter = separator or _separator(path, lines)
    rows = [row for row in _split(lines, delimiter=delimiter) if row]
    header, body = rows[0], rows[1:]
    row_names = bool(body) and all(len(row) == len(header) + 1 for row in body)
    if row_names and not header[0].strip():
        message = f"{path}, line 2: {len(body[0])} fields, the header has {len(header)}, the first without a name"
        raise IOFormatError(f"{message}: add the name that is missing, or remove the separator at the end of each line")
    columns = ["", *header] if row_names else header
    twice = sorted({name for name in columns if columns.count(name) > 1}) if len(set(columns)) < len(columns) else []
    if twice:
        raise IOFormatError(f"{path}: names in the header are not unique: {twice[:5]}")
    table = Table(path, tuple(columns), delimiter, row_names)
    if row_names:
        table.check_row_names(trailing=not any(row[-1] for row in body))
    return table


class _Ends:
    """Lines of a text, and whether the last that was taken ended with a newline."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.has_newline = True

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.has_newline = line.endswith(("\n", "\r"))
            yield line


def _split(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """The fields of each line, of any length: a header of thousands of runs, or a list of as many IDs in a field."""
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    finally:
        csv.field_size_limit(limit)


def _first_lines(path: Path) -> list[str]:
    """The first lines of a text file. Raises `IOFormatError` that names the file for what is not UTF-8 text."""
    with open(path, "rb") as stream:
        head = stream.read(4)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            raise IOFormatError(f"{path} is {encoding}, not text in UTF-8: save it as text (UTF-8)")
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
        fields = [len(row) for row in _split(lines, delimiter=separator) if row]
        counts[separator] = fields
        if fields and len(set(fields[1:])) <= 1 and fields[0] > 1 and fields[-1] - fields[0] in (0, 1):
            counts[separator] = [fields[-1]]
    whole = {separator: fields[0] for separator, fields in counts.items() if len(fields) == 1 and fields[0] > 1}
    if whole:
        return max(whole, key=lambda separator: whole[separator])
    best = max(counts, key=lambda separator: counts[separator][0])
    if counts[best][0] > 1 and all(1 < count <= counts[best][0] for count in counts[best]):
        return best  # lines that lack fields at their end
    if counts[best][0] < 2:
        raise IOFormatError(f"{path} has one column only: expected columns separated by tabs, commas or semicolons")
    wrong = next(number for number, count in enumerate(counts[best], 1) if count != counts[best][0])
    message = f"{counts[best][wrong - 1]} fields ({SEPARATORS[best]}-separated), the header has {counts[best][0]}"
    raise IOFormatError(f"{path}, line {wrong}: {message}")
