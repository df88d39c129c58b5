"""Commands that look into files: ls, info, cat, diff."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import typer

from h5burst import console
from h5burst.commands import addresses
from h5burst.commands.states import At, state_of
from h5burst.console import output
from h5burst.memory.budget import format_bytes
from h5burst.model.source import as_source, read_whole
from h5burst.model.tree import Reference

_MOST = 80  # characters of an attribute on its line
_WIDEST = 40  # characters of a column of `ls`; longer cells push the others of their line to the right
_HISTORY = "earlier states and messages, which whoever gets the file can read (h5burst log)"
_ROWS_BYTES = 8 << 20  # of a dataset, printed at once

Where = Annotated[str, typer.Argument(metavar="FILE[::/PATH]", help="An HDF5 file, or an object in it.")]


def ls(
    file: Where,
    depth: Annotated[int | None, typer.Option(min=0, help="Show no more levels than these.")] = None,
    attributes: Annotated[bool, typer.Option("--attributes", "-a", help="Show attributes, too.")] = False,
    at: At = None,
) -> None:
    """Show the tree of a file: shapes, dtypes, sizes, filters.

    \b
    Examples:
      h5burst ls results/simulated.h5
      h5burst ls results/simulated.h5::/units --depth 2 --attributes
    """
    from h5burst.describing import contents
    from h5burst.read.state_file import located_meanwhile

    output.ends_with_reader = True
    address = addresses.parse(file)
    with located_meanwhile(address.file, state_of(at)) as source:
        content = contents(source, address.inner)
    top = 0 if address.inner == "/" else address.inner.count("/")
    levels = [(0 if item.path == "/" else item.path.count("/")) - top for item in content.objects]
    shown = [
        (item, level) for item, level in zip(content.objects, levels, strict=True) if depth is None or level <= depth
    ]
    objects = [_as_json(item, attributes) for item, _ in shown]
    rows = [tuple(map(_printable, _cells(item, level))) for item, level in shown]
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(*(row for row in rows if row[1]), strict=True)]
    for (item, level), row in zip(shown, rows, strict=True):
        output.say("  ".join(map(str.ljust, row, widths)).rstrip() if row[1] else row[0])
        for key, value in item.attributes.items() if attributes else ():
            output.say(f"{'  ' * (level + 1)}@{_printable(key)} = {_short(value)}")
    number = f"{content.datasets} dataset{'' if content.datasets == 1 else 's'}"
    output.say(f"{number}, {format_bytes(content.data_bytes)} of data in a file of {format_bytes(content.bytes)}")
    totals = {
        "file": content.path,
        "bytes": content.bytes,
        "datasets": content.datasets,
        "data_bytes": content.data_bytes,
    }
    output.result(totals | {"objects": objects})


def _cells(item: Any, level: int) -> tuple[str, ...]:
    """The columns of an object's line: one that is no dataset has the first alone."""
    name: str = item.path if level == 0 else "  " * level + item.path.rsplit("/", 1)[1]
    if item.kind != "dataset":
        return (name if item.kind == "group" else f"{name}  ({item.kind})", "", "", "", "")
    return (name, _shape(item.shape), item.dtype, format_bytes(item.stored_bytes), item.filters)


def _shape(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "null"
    return "x".join("…" if length is None else str(length) for length in shape) or "scalar"


def _short(value: Any) -> str:
    text = _printable(" ".join(_text(value).split()))
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


def _printable(text: str) -> str:
    """Text of a file on one line, without what a terminal would take for a command."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _as_json(item: Any, attributes: bool) -> dict[str, Any]:
    content = dataclasses.asdict(dataclasses.replace(item, attributes={}))
    del content["attributes"]
    if item.kind != "dataset":
        content = {"path": item.path, "kind": item.kind, "hard_links": item.hard_links}
    if attributes:
        content["attributes"] = {key: str(value) for key, value in item.attributes.items()}
    return content


def info(
    file: Where,
    state: Annotated[str | None, typer.Option("--state", help="An earlier state: its number, or a time.")] = None,
) -> None:
    """Show a file or one object in full: sizes, dead space, storage, attributes.

    \b
    Examples:
      h5burst info results/simulated.h5
      h5burst info results/simulated.h5::/units/unit_001/spike_times
    """
    from h5burst.describing import info as describe_file

    address = addresses.parse(file)
    description = describe_file(address.file, address.inner, state=state_of(state))
    item = description.objects[0]
    rows = [("file", description.path), ("size", format_bytes(description.bytes))]
    if description.history_bytes:
        rows.append(("history", f"{_of(description.history_bytes, description.bytes)}: {_HISTORY}"))
    if description.dead_bytes is not None:
        rows.append(("dead space", f"{_of(description.dead_bytes, description.bytes)}: h5burst repack drops it"))
    if description.reserve_bytes:
        rows.append(("reserve", f"{format_bytes(description.reserve_bytes)} of zeros behind the end, not on the disk"))
    if item.kind == "dataset":
        rows += _dataset_rows(item)
    else:
        rows.append(("object", f"{item.path} ({item.kind})"))
    if item.kind == "group":
        rows += [("groups", str(description.groups)), ("datasets", str(description.datasets))]
        rows.append(("data", format_bytes(description.data_bytes)))
    rows += [(f"@{name}", _short(value)) for name, value in item.attributes.items()]
    console.print_rows([tuple(map(_printable, row)) for row in rows])
    sizes = ("bytes", "live_bytes", "history_bytes", "dead_bytes", "reserve_bytes", "groups")
    content = {"file": description.path} | {name: getattr(description, name) for name in sizes}
    totals = {"datasets": description.datasets, "data_bytes": description.data_bytes}
    output.result(content | totals | {"object": _as_json(item, True)})


def _of(part: int, whole: int) -> str:
    return f"{format_bytes(part)} ({part / max(1, whole):.0%})"


def _dataset_rows(item: Any) -> list[tuple[str, str]]:
    ratio = f" ({item.stored_bytes / item.nbytes:.0%} of {format_bytes(item.nbytes)})" if item.nbytes else ""
    return [
        ("object", f"{item.path} (dataset)"),
        ("shape", _shape(item.shape)),
        ("at most", _shape(item.maxshape)),
        ("dtype", item.dtype),
        ("chunks", _shape(item.chunks) if item.chunks else "none"),
        ("filters", item.filters or "none"),
        ("stored", format_bytes(item.stored_bytes) + ratio),
        ("hard links", str(item.hard_links)),
    ]


def cat(
    file: Where,
    selection: Annotated[
        str, typer.Option("--slice", "-s", help="Which elements, as numpy writes it: 0:10 or 5,:,::2.")
    ] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, fields of compounds with a header.")] = False,
    attribute: Annotated[str | None, typer.Option("--attribute", help="This attribute in place of elements.")] = None,
    at: At = None,
) -> None:
    """Print the values of a dataset or an attribute, one row of it a line.

    \b
    Examples:
      h5burst cat results/simulated.h5::/units/unit_001/spike_times --slice 0:10
      h5burst cat results/simulated.h5::/units/unit_001/waveform --csv > waveform.csv
    """
    import h5burst
    from h5burst.model.tree import Group

    output.ends_with_reader = True
    if as_csv and output.as_json:
        raise ValueError("--csv and --json are two forms of one output: give one of them")
    address = addresses.parse(file)
    tree = h5burst.read_tree(address.file, lazy=True, at=state_of(at))
    try:
        node = tree[address.inner]
        value = node.attrs[attribute] if attribute is not None else None if isinstance(node, Group) else node.data
    except KeyError:
        subject = f"dataset {address.inner}" if attribute is None else f"attribute {address.inner}@{attribute}"
        raise KeyError(
            f"{address.file}: there is no {subject} (h5burst ls -a {address.file} shows what there is)"
        ) from None
    if attribute is None and isinstance(node, Group):
        raise ValueError(f"{file} is a group: give the path of a dataset (h5burst ls {address.file} shows them)")
    if value is None:
        output.result(None)
        return
    source = as_source(np.asarray(value)) if attribute is not None else as_source(value)
    blocks = _blocks(source, addresses.parse_slices(selection, len(source.shape)))
    if output.as_json:
        output.result(_joined([_listed(block) for block in blocks]))
        return
    shown = _printable if sys.stdout.isatty() else str  # what a program reads is as it is stored
    names = source.dtype.names
    if as_csv and names:
        output.say(shown(_csv_line(names)))
    for block in blocks:
        for row in _rows(block):
            output.say(shown(_csv_line(row) if as_csv else " ".join(map(str, row))))


def _blocks(source: Any, selection: tuple[int | slice, ...]) -> Iterator[Any]:
    """The selected elements, some rows at a time; an array of rank 0 for one element."""
    if not source.shape:
        yield np.asarray(read_whole(source))[()]
        return
    first = selection[0] if selection else slice(None)
    if isinstance(first, int):
        row = range(source.shape[0])[first] if -source.shape[0] <= first < source.shape[0] else None
        if row is None:
            raise ValueError(f"row {first} is outside the {source.shape[0]} rows")
        inner: Any = (0, *selection[1:])
        yield np.asarray(source.read(row, row + 1))[inner]
        return
    rows = range(source.shape[0])[first]
    row_bytes = max(1, int(np.prod(source.shape[1:], dtype=np.int64)) * source.dtype.itemsize)
    step = max(1, _ROWS_BYTES // row_bytes // abs(rows.step))
    for at in range(0, len(rows), step):
        part = rows[at : at + step]
        low, high = min(part), max(part) + 1
        block = np.asarray(source.read(low, high))[:: abs(rows.step)]
        inner = (slice(None), *selection[1:])
        yield (block[::-1] if rows.step < 0 else block)[inner]


def _rows(block: Any) -> Iterator[list[Any]]:
    """Lines of text: a line for each row of the first axis, the others one after another."""
    array = np.asarray(block)
    if array.ndim == 0:
        yield list(array[()]) if array.dtype.names else [_plain(array[()])]
        return
    for row in array:
        flat = np.asarray(row).reshape(-1) if not isinstance(row, (str, bytes)) else [row]
        if array.dtype.names:
            yield [_plain(value) for record in np.atleast_1d(flat) for value in record]
        else:
            yield [_plain(value) for value in flat]


def _plain(value: Any) -> Any:
    """A number as it is, all else as text, what is not text itself on one line."""
    if isinstance(value, np.generic) and value.dtype.names is None:
        value = value.item()
    if isinstance(value, (str, bytes)):
        return _text(value)
    return value if isinstance(value, (int, float, complex)) else " ".join(_text(value).splitlines())


def _text(value: Any) -> str:
    """A value for people: text as it is, references as their paths, parts of records and arrays in brackets."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Reference):
        return f"{value.path or 'null'}{' (region)' if value.is_region else ''}"
    if isinstance(value, np.void) and value.dtype.names:
        return f"({', '.join(map(_text, value.item()))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, (np.ndarray, list)) and np.ndim(value):
        return f"[{' '.join(map(_text, value))}]" if len(value) <= _MOST else str(value)
    return f"null {value.dtype}" if type(value).__name__ == "Empty" else str(value)  # h5py's, which is not imported


def _csv_line(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _listed(block: Any) -> Any:
    array = np.asarray(block)
    if array.dtype.names:
        if array.ndim:
            return [_listed(item) for item in array]
        return {name: _listed(array[name]) for name in array.dtype.names}
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "backslashreplace").tolist()
    return _as_plain_json(array.tolist())


def _as_plain_json(value: Any) -> Any:
    """Lists for sequences, paths for references, text for opaque bytes."""
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, list):
        return [_as_plain_json(item) for item in value]
    return _text(value) if isinstance(value, (bytes, Reference)) else value


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return [row for part in parts for row in part]


def diff(
    first: Where,
    second: Annotated[str, typer.Argument(metavar="FILE[::/PATH]", help="What it is compared with.")],
    rtol: Annotated[float, typer.Option(min=0.0, help="Relative tolerance of numbers.")] = 0.0,
    atol: Annotated[float, typer.Option(min=0.0, help="Absolute tolerance of numbers.")] = 0.0,
    state: Annotated[
        str | None, typer.Option("--state", help="Compare earlier states: one of both files, or two as 3,5.")
    ] = None,
) -> None:
    """Compare two files or objects: structure, types, attributes, values; exit code 1 where they differ.

    \b
    Examples:
      h5burst diff results/simulated.h5 results/again.h5
      h5burst diff results/simulated.h5::/units/unit_001/waveform results/again.h5::/units/unit_001/waveform --rtol 1e-6
    """
    from h5burst.differences import diff as differences_of

    a, b = addresses.parse(first), addresses.parse(second)
    one, _, other = (state or "").partition(",")
    states = state_of(one or None), state_of(other or one or None)
    differences = differences_of(a.file, b.file, rtol=rtol, atol=atol, at=(a.inner, b.inner), state=states)
    for difference in differences:
        output.say(difference)
    output.say(
        f"{len(differences)} difference{'' if len(differences) == 1 else 's'}" if differences else "no difference"
    )
    output.result({"differences": [dataclasses.asdict(difference) for difference in differences]})
    raise typer.Exit(int(bool(differences)))
