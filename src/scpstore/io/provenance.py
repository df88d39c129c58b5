"""The history as five datasets of text, one row a step.

Text that is missing is "". A value that its plain form does not tell (a real "", a missing one where text is due, a
date) is kept besides, as JSON text `[row, value]` in the extras, and counts as long as the plain form is unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from h5burst.model.tree import Array, Group, UnsupportedValueError
from h5burst.model.values import decode_value, encode_value, from_json, to_json
from scpstore.core.history import ProvenanceLog
from scpstore.io.columns import object_array
from scpstore.io.exceptions import IOFormatError, IOWriteError

TEXT_FIELDS = ("action", "timestamp", "software_version", "description")
OPTIONAL_FIELDS = ("software_version", "description")
PARAMS, EXACT = "params", "exact"


def encode_history(history: Iterable[Any], where: str) -> tuple[Group, Group]:
    """The group of datasets, and the extras. Raises `IOWriteError` for params that no file can hold."""
    steps = list(history)
    group, extras = Group(), Group()
    for name in TEXT_FIELDS:
        values = [getattr(step, name, None) for step in steps]
        plain = [_plain(value) for value in values]
        group.children[name] = encode_value(object_array(plain), scalars="attributes")
        exact = [(row, value) for row, value in enumerate(values) if _restored(name, plain[row]) != value]
        if exact:
            texts = [_json([row, value], f"{where}/{name}") for row, value in exact]
            extras.children[name] = Array(object_array(texts))
    params = [_json(step.params, f"{where}: params of step {row}") for row, step in enumerate(steps)]
    group.children[PARAMS] = Array(object_array(params))
    return group, extras


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def _restored(name: str, plain: str) -> str | None:
    return None if plain == "" and name in OPTIONAL_FIELDS else plain


def _json(value: Any, where: str) -> str:
    try:
        return to_json(value)
    except UnsupportedValueError as error:
        raise IOWriteError(f"{where} cannot be stored: {error}") from error


def decode_history(group: Group, extras: Group | None, where: str) -> list[ProvenanceLog]:
    """The history in a group, whoever wrote it. Raises `IOFormatError` for datasets that do not fit together."""
    columns = {name: _texts(group, name, where) for name in (*TEXT_FIELDS, PARAMS)}
    count = len(columns["action"] or ())
    for name, texts in columns.items():
        if texts is None and name in OPTIONAL_FIELDS:
            columns[name] = [""] * count
        elif texts is None or len(texts) != count:
            found = "missing" if texts is None else f"{len(texts)} rows"
            raise IOFormatError(f"{where}/{name}: {found}, expected {count} rows as in {where}/action")
    fields = {name: _exact_values(name, columns[name] or [], extras) for name in TEXT_FIELDS}
    fields[PARAMS] = [_params(text, f"{where}/{PARAMS}, row {row}") for row, text in enumerate(columns[PARAMS] or [])]
    return [ProvenanceLog(**{name: values[row] for name, values in fields.items()}) for row in range(count)]


def _texts(group: Group, name: str, where: str) -> list[str] | None:
    node = group.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        return None
    values = decode_value(node, scalars="attributes")
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.reshape(-1).tolist()]
    if not all(isinstance(text, str) for text in texts):
        raise IOFormatError(f"{where}/{name} holds no text: it has the dtype {values.dtype}")
    return texts


def _exact_values(name: str, plain: Sequence[str], extras: Group | None) -> list[Any]:
    values: list[Any] = [_restored(name, text) for text in plain]
    node = extras.children.get(name) if extras is not None else None
    for text in node.data.tolist() if isinstance(node, Array) else ():
        row, value = from_json(text)
        if row < len(plain) and plain[row] == _plain(value):
            values[row] = value
    return values


def _params(text: str, where: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise IOFormatError(f"{where} is no JSON: {error}") from error
