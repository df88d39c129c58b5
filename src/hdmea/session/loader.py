"""A file as a deferred session, on which more steps can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdmea.session.session import PipelineSession, SaveState


def load_session_from_hdf5(
    hdf5_path: str | Path, *, dataset_id: str | None = None, load_features: str | Sequence[str] | None = None
) -> PipelineSession:
    """A deferred session with all that a file holds; `save()` writes to that file again, without `overwrite`.

    Parameters
    ----------
    hdf5_path
        A file that a session or immediate steps wrote, of this or an earlier layout.
    dataset_id
        Another name for the session than the file's.
    load_features
        Names, or prefixes of names, of the features wanted in `units[id]["features"]`. The others stay in the file:
        `save()` keeps them as they are.

    Returns
    -------
    PipelineSession
        Deferred.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a session (a `CheckpointError`), or `dataset_id` is blank.

    Examples
    --------
    >>> from hdmea.pipeline import load_session_from_hdf5
    >>> session = load_session_from_hdf5("recording.h5", load_features="sta_")
    >>> session.unit_count, list(session.units["unit_001"]["features"])
    (12, ['sta_dense_noise_15x15'])
    """
    path = Path(hdf5_path)
    session = PipelineSession.load(path)
    if dataset_id is not None:
        if not isinstance(dataset_id, str) or not dataset_id.strip():
            raise ValueError("dataset_id must be text that is not blank")
        session.dataset_id = dataset_id
    if load_features is not None:
        prefixes = (load_features,) if isinstance(load_features, str) else tuple(load_features)
        session.unloaded_features = _take_out(session.units, prefixes)
    session.save_state = SaveState.DEFERRED
    return session


def _take_out(units: Mapping[str, dict[str, Any]], prefixes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Move the features that begin with none of the prefixes out of the units; by unit and name."""
    removed: dict[str, dict[str, Any]] = {}
    for unit_id, unit in units.items():
        features = unit.get("features") or {}
        names = [name for name in features if not name.startswith(prefixes)]
        if names:
            removed[unit_id] = {name: features.pop(name) for name in names}
    return removed


load_hdf5_to_session = load_session_from_hdf5
