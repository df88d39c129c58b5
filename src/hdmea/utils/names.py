"""Names: of recordings, of their files, of movies."""

from __future__ import annotations

import os
from pathlib import Path

from hdmea.utils.exceptions import ConfigurationError

_NOT_IN_FILE_NAMES = "/\\\0" + ('<>:"|?*' if os.name == "nt" else "")


def default_dataset_id(cmcr_path: str | Path | None, cmtr_path: str | Path | None) -> str:
    """The stem of the `.cmtr`, else of the `.cmcr`, without trailing hyphens.

    Raises `ConfigurationError` with neither, and where nothing is left of the stem.
    """
    path = cmtr_path or cmcr_path
    if path is None:
        raise ConfigurationError("give a dataset_id, a .cmcr file or a .cmtr file")
    name = Path(path).stem.rstrip("-")
    if not name.strip():
        raise ConfigurationError(f"the name of {path} makes no dataset ID: give one")
    return name


def recording_path(output_dir: str | Path, dataset_id: str) -> Path:
    """`{output_dir}/{dataset_id}.h5`; characters of the ID that would leave the directory are percent-encoded."""
    safe = "".join(f"%{ord(c):02X}" if c in _NOT_IN_FILE_NAMES else c for c in dataset_id)
    return Path(output_dir) / f"{safe}.h5"


def movie_name(file_name: str) -> str:
    """A movie's name: the text before its first dot."""
    return file_name.split(".", 1)[0]
