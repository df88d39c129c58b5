"""The history as five datasets of text, one row a step.

Text that is missing is "", params are plain JSON. A value that its plain form does not tell (a real "", a missing one
where text is due, a date, a tuple in the params) is kept besides, as tagged JSON `[row, value]` in the extras, and
counts as long as the plain form is unchanged. The extras say by `version` how params are stored: 2 as just said, 1
(files of the first round) as tagged JSON in the dataset itself; files of others have plain JSON and no extras.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import numpy as np

from h5burst import Array, UnsupportedValueError, decode_value, from_json, load_json, to_json
from scpstore.core.history import ProvenanceLog
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.stored import StoredGroup, object_array, texts_node

TEXT_FIELDS = ("action", "timestamp", "software_version", "description")
OPTIONAL_FIELDS = ("software_version", "description")
PARAMS, VERSION = "params", "version"
ENCODING_VERSION = 2


# ---------------------------------------------------------------- writing


def encode_history(history: Iterable[Any], where: str) -> StoredGroup:
    """The group of datasets and the extras. Raises `IOWriteError` for params that no file can hold."""
    steps = list(history)
    stored = StoredGroup(where)
    for name in TEXT_FIELDS:
        values = [getattr(step, name, None) for step in steps]
        plain = [_plain_text(value) for value in values]
        stored.plain.children[name] = texts_node(plain)
        exact = [(row, value) for row, value in enumerate(values) if _restored(name, plain[row]) != value]
        _put_exact(stored, name, exact)
    params = [step.params for step in steps]
    tagged = [_tagged(value, f"{where}: params of step {row}") for row, value in enumerate(params)]
    texts = [plain_json(value) for value in params]
    stored.plain.children[PARAMS] = Array(object_array(texts))
    _put_exact(stored, PARAMS, [(row, value) for row, value in enumerate(params) if tagged[row] != texts[row]])
    if steps:
        stored.extra.attrs[VERSION] = ENCODING_VERSION
    return stored


def _put_exact(stored: StoredGroup, name: str, exact: list[tuple[int, Any]]) -> None:
    if exact:
        texts = [_tagged([row, value], f"{stored.where}/{name}") for row, value in exact]
        stored.extra.children[name] = Array(object_array(texts))


def _plain_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def _restored(name: str, plain: str) -> str | None:
    return None if plain == "" and name in OPTIONAL_FIELDS else plain


def _tagged(value: Any, where: str) -> str:
    try:
        return to_json(value)
    except (UnsupportedValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise IOWriteError(f"{where} cannot be stored: {reason}") from error


def plain_json(value: Any) -> str:
    """`value` as JSON that any reader takes: tuples and sets as lists, numpy's as Python's, dates and bytes as text."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item()) if not isinstance(value, (np.datetime64, np.timedelta64)) else str(value)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)


def _plain_key(key: Any) -> str:
    return _plain(key) if isinstance(key, str) else str(key)


# ---------------------------------------------------------------- reading


def decode_history(stored: StoredGroup, make: Callable[..., Any] = ProvenanceLog) -> list[Any]:
    """The history in a group, written by any program. Raises `IOFormatError` for datasets that do not fit together."""
    stored = stored.in_memory()
    columns = {name: _texts(stored, name) for name in (*TEXT_FIELDS, PARAMS)}
    count = len(columns["action"] or ())
    for name, texts in columns.items():
        if texts is None and name in OPTIONAL_FIELDS:
            columns[name] = [""] * count
        elif texts is None or len(texts) != count:
            problem = "missing" if texts is None else f"{len(texts)} rows"
            raise IOFormatError(f"{stored.where}/{name}: {problem}, expected {count} rows as in {stored.where}/action")
    fields = {name: _exact_values(stored, name, columns[name] or []) for name in TEXT_FIELDS}
    fields[PARAMS] = _decode_params(stored, columns[PARAMS] or [])
    return [make(**{name: values[row] for name, values in fields.items()}) for row in range(count)]


def _texts(stored: StoredGroup, name: str) -> list[str] | None:
    node = stored.plain.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        return None
    values = np.asarray(decode_value(node, scalars="attributes"))
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.reshape(-1).tolist()]
    if not all(isinstance(text, str) for text in texts):
        raise IOFormatError(f"{stored.where}/{name} holds no text: it has the dtype {values.dtype}")
    return texts


def _exact(stored: StoredGroup, name: str) -> list[tuple[int, Any]]:
    """The (row, value) pairs that the extras have for a field; what is not such a pair is left aside."""
    pairs = []
    for text in stored.extra_texts(name):
        try:
            row, value = from_json(text)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(row, int) and not isinstance(row, bool):
            pairs.append((row, value))
    return pairs


def _exact_values(stored: StoredGroup, name: str, plain: Sequence[str]) -> list[Any]:
    values: list[Any] = [_restored(name, text) for text in plain]
    for row, value in _exact(stored, name):
        if 0 <= row < len(plain) and plain[row] == _plain_text(value):
            values[row] = value
    return values


def _decode_params(stored: StoredGroup, texts: Sequence[str]) -> list[Any]:
    version = stored.extra.attrs.get(VERSION, 1)
    decode = _PARAMS.get(int(version) if isinstance(version, (int, np.integer)) else 0)
    if decode is None:
        raise IOFormatError(f"{stored.where}: params of version {version!s:.20}: written by a newer version of this")
    values = []
    for row, text in enumerate(texts):
        try:
            values.append(decode(text))
        except (ValueError, RecursionError) as error:
            raise IOFormatError(f"{stored.where}/{PARAMS}, row {row} is not JSON: {error}") from error
    for row, value in _exact(stored, PARAMS):
        if 0 <= row < len(texts) and texts[row] == plain_json(value):
            values[row] = value
    return values


def _tagged_or_plain(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return load_json(text)


_PARAMS: dict[int, Callable[[str], Any]] = {1: _tagged_or_plain, 2: load_json}
