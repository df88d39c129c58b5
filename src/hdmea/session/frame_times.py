"""Beginnings of frames, from a session or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from h5burst import Array, Group
from hdmea.session.recording_file import recording_tree
from hdmea.session.session import PipelineSession
from hdmea.utils.exceptions import MissingInputError


def get_frame_timestamps(source: PipelineSession | h5py.File | str | Path) -> npt.NDArray[np.uint64]:
    """The samples at which frames began (frames,) uint64, of a session, an open recording file or the path of one.

    Raises `MissingInputError` where the recording has none, `FileNotFoundError`.
    """
    if isinstance(source, (str, Path)):
        stored = _stored_in(recording_tree(Path(source)))
    elif isinstance(source, PipelineSession):
        stored = source.metadata.get("frame_timestamps")
    else:
        stored = source.get("metadata/frame_timestamps")
    if stored is None or not len(stored):
        raise MissingInputError("no frame timestamps: run load_recording first", None, "frame_timestamps")
    return np.asarray(stored).astype(np.uint64)


def _stored_in(tree: Group) -> Any:
    try:
        node = tree["metadata", "frame_timestamps"]
    except KeyError:
        return None
    return node.data if isinstance(node, Array) else None
