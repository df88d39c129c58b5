"""What can be wrong with a file."""

from __future__ import annotations

import os


class CorruptFileError(OSError):
    """A file that cannot be read as what it claims to be: damaged, cut short, or no HDF5 file at all.

    Attributes: `path`, the file; `what`, what is wrong with it, and where in the file.
    """

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        super().__init__(f"Cannot read HDF5 file: {os.fspath(path)}: {what}. The file may be damaged or incomplete.")
        self.path = os.fspath(path)
        self.what = what


class StaleFileError(OSError):
    """A file that was replaced or changed after it was opened lazily."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(f"{os.fspath(path)} was changed since it was opened lazily: read it anew")
        self.path = os.fspath(path)


class UnfinishedFileError(OSError):
    """A file that is marked as open for writing, and that nobody here has open."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(
            f"Cannot open {os.fspath(path)}: its last writer was interrupted, or is still at work. If none is, the file "
            "may lack what was written last: go back to an older copy, or clear the mark with `h5clear -s` and check "
            "what is there"
        )
        self.path = os.fspath(path)
