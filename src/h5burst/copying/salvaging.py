"""Salvaging: what can still be read of a damaged file, in a new one, and a list of what cannot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.checking import damaged
from h5burst.copying.objects import ObjectCopier
from h5burst.copying.output import Output
from h5burst.copying.repacking import path_of
from h5burst.format import object_header as oh
from h5burst.format import superblock
from h5burst.format.constants import UNDEFINED
from h5burst.model.errors import (
    CorruptFileError,
    CorruptStructureError,
    Problem,
    StaleFileError,
    UnsupportedFeatureError,
)
from h5burst.read.file_objects import FileLike, accepts_file_objects
from h5burst.read.history import is_only_appended_to
from h5burst.read.open_file import OpenFile
from h5burst.runtime import durable

NAMELESS = b"h5burst.nameless"  # group of what is found without a name
_HEADER = re.compile(rb"OHDR\x02")  # how an object header begins
_OLD_HEADER = re.compile(rb"\x01\x00..[\x01-\xff]\x00\x00\x00", re.DOTALL)  # and in old files: some links to it
_OVERLAP = 7  # bytes of a beginning that may be in the block before
_SCANNED_BYTES = 8 << 20


class Salvaged(NamedTuple):
    """Outcome of a salvage.

    Attributes
    ----------
    objects : int
        Objects in the new file.
    lost : list
        Objects with why they cannot be read; an attribute as object@attribute; of a dataset that is there in part, the
        elements that are not.
    nameless : int
        How many of the objects were found without a name.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("damaged.h5", {"a": np.arange(1000)}, overwrite=True)
    >>> h5burst.salvage("damaged.h5", "saved.h5", overwrite=True)
    Salvaged(objects=2, lost=(), nameless=0)
    """

    objects: int
    lost: tuple[Problem, ...]
    nameless: int


@accepts_file_objects("src")
def salvage(src: FileLike, dst: str | os.PathLike[str], *, overwrite: bool = False) -> Salvaged:
    """Write everything that can still be read of a damaged HDF5 file as a new one.

    Objects are copied one by one as by `repack`; what is damaged is left out. Chunks are decoded to find out; one that
    is damaged is left out of its dataset, which gives fill values there; those of filters that only libhdf5 undoes are
    copied as they are, and the dataset is listed where one is damaged. Where groups are damaged, objects that nothing
    leads to any more are looked for in the whole file and put into the group `h5burst.nameless`; some of them may be
    earlier states of others.

    Parameters
    ----------
    src
        The damaged file, or a binary file object; it is not changed. One that is cut short, or that a program left
        open for writing, too.
    dst
        The new file. Missing directories on the way are made.
    overwrite
        Whether an existing `dst` may be replaced.

    Returns
    -------
    Salvaged
        With the list of what is lost; empty for a sound file.

    Raises
    ------
    CorruptFileError
        For a file of which nothing is left.
    FileExistsError
        For an existing `dst` without `overwrite`.
    ValueError
        Where `dst` is the damaged file itself.
    BlockingIOError
        For a file that another program has open for writing.
    StaleFileError
        For a file that a program without locks writes meanwhile.
    OSError
        When reading or writing fails.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("damaged.h5", {"a": np.arange(1000)}, overwrite=True)
    >>> h5burst.salvage("damaged.h5", "saved.h5", overwrite=True).lost
    ()
    """
    if os.path.realpath(src) == os.path.realpath(dst):
        raise ValueError(f"{os.fspath(dst)} is the damaged file: write what is salvaged elsewhere")
    with OpenFile(src) as file, durable.replacing(Path(dst), overwrite=overwrite) as temporary:
        if file.locked_for_writing:
            raise BlockingIOError(f"{os.fspath(src)} is open for writing elsewhere: close it there first")
        rescue = _Rescue(file.descriptor, os.fspath(src), file.stamp.size)
        saved = rescue.write(temporary)
        if not is_only_appended_to(file, rescue.root):
            raise StaleFileError(src, "while it was copied")
    # What went through filters that only libhdf5 undoes was copied as it is: whether it can be read shows now.
    return saved._replace(lost=tuple(dict.fromkeys([*saved.lost, *damaged(dst)])))


class _Rescue:
    def __init__(self, descriptor: int, path: str, size: int) -> None:
        self._descriptor, self._path, self._size = descriptor, path, size
        self._lost: list[Problem] = []
        self._start = self._superblock()
        self._source = Source(descriptor, size, self._start.base, 1 << 16, 64)

    @property
    def root(self) -> int:
        """Address of the root group's header."""
        return self._start.root

    def _superblock(self) -> superblock.Whole:
        try:
            return superblock.read_whole(self._descriptor, self._size)
        except CorruptStructureError as error:
            self._note((), str(error))
        except UnsupportedFeatureError as error:
            guessed = superblock.guess(self._descriptor, self._size)
            if guessed is None or not self._is_of_another_version(guessed):
                raise CorruptFileError(self._path, f"it has {error}, of which nothing can be salvaged here") from error
            self._note((), str(error))
            return guessed
        nothing = superblock.Whole(3, 0, UNDEFINED, self._size, b"", UNDEFINED, True)
        return superblock.guess(self._descriptor, self._size) or nothing

    def _is_of_another_version(self, guessed: superblock.Whole) -> bool:
        """True where the version was damaged: with the bit set right the superblock fits its checksum."""
        (version,) = Source(self._descriptor, self._size).read(guessed.base + 8, 1)
        return guessed.version in (2, 3) and version != guessed.version

    def _note(self, names: tuple[bytes, ...], damage: str) -> None:
        self._lost.append(Problem(path_of(names), damage))

    def write(self, target: Path) -> Salvaged:
        start = self._start
        with Output(target, 0) as output:
            superblock_at = output.append(bytes(superblock.SIZE))
            copier = self._copier(output)
            root = copier.copy_object(start.root, ())
            nameless = self._nameless(copier) if not root or self._lost else []
            if nameless:
                group = copier.add_group(nameless)
                link = (NAMELESS, group)
                root = copier.add_to_root(start.root, *link) if root else copier.add_group([link])
            if not root:
                raise CorruptFileError(self._path, "nothing of it can be read")
            copier.finish()
            output.flush()
            version = 3 if start.version == 3 else 2
            output.patch(superblock_at, superblock.encode(root, output.end, version=version))
        return Salvaged(copier.objects, tuple(dict.fromkeys(self._lost)), len(nameless))

    def _copier(self, output: Output) -> ObjectCopier:
        try:
            return ObjectCopier(self._source, output, self._start.extension, None, self._note)
        except (CorruptStructureError, UnsupportedFeatureError) as error:
            self._note((), f"messages that objects share: {error}")
            return ObjectCopier(self._source, output, UNDEFINED, None, self._note)

    # ------------------------------------------------------------ objects that nothing leads to

    def _nameless(self, copier: ObjectCopier) -> list[tuple[bytes, int]]:
        """Copy the objects that no group leads to, those below them aside. Returns their names and addresses."""
        below: dict[int, list[int]] = {}
        for address in self._headers():
            if not copier.is_copied(address):
                try:
                    below[address] = copier.children(address)
                except (CorruptStructureError, UnsupportedFeatureError):
                    continue
        held = {child for children in below.values() for child in children}
        nameless = []
        for address, children in below.items():
            if address in held or (children and all(map(copier.is_copied, children))):
                continue  # it comes with its group, or is an earlier state of one that is there
            name = b"object_%d" % address
            new = copier.copy_object(address, (NAMELESS, name))
            if new:
                nameless.append((name, new))
        return nameless

    def _headers(self) -> Iterator[int]:
        """Addresses at which an object header with a right checksum begins."""
        begins = _OLD_HEADER if self._start.version < 2 else _HEADER
        for at in range(0, self._size, _SCANNED_BYTES):
            os.lseek(self._descriptor, at, os.SEEK_SET)
            block = os.read(self._descriptor, _SCANNED_BYTES + _OVERLAP)
            for match in begins.finditer(block):
                address = at + match.start() - self._start.base
                if match.start() < _SCANNED_BYTES and address >= 0 and self._is_object(address):
                    yield address

    def _is_object(self, address: int) -> bool:
        try:
            header = oh.decode(self._source, address)
        except (CorruptStructureError, UnsupportedFeatureError):
            return False
        kinds = {message.type for message in header.messages}
        return kinds >= {oh.DATA_LAYOUT, oh.DATATYPE, oh.DATASPACE} or bool(kinds & {oh.LINK_INFO, oh.SYMBOL_TABLE})
