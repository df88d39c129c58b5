"""The links of a group whose index, or heap, is damaged: what is whole of both leads to nearly all of them.

Names are confirmed by their hash in the tree of names, as far as that is whole; addresses by an object with a right
checksum where they lead, and by the checksum of ours behind a link that has one.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from h5burst._ext.h5parse import Source, checked_link, lookup3
from h5burst.format import btree2, dense, link_message
from h5burst.format.fractal_heap import HUGE_PLACES, PLACE, FractalHeap, read_huge_only
from h5burst.format.info_message import Info
from h5burst.format.link_message import Link
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

_STRUCTURE = re.compile(rb"FHDB\x00|FHIB\x00|FRHP\x00|BT(?:HD|LF|IN)\x00|OHDR\x02|OCHK|GCOL\x01")  # what ends a block
_LARGEST_BLOCK = 1 << 17
_BLOCK_SIZES = [1 << power for power in range(9, 18)]
_BLOCK_PREFIX = 21  # bytes, checksum included, in the heaps of links that programs make
_SEALED = re.compile(rb"\x01[\x00\x01\x04\x05\x10\x11\x14\x15]")  # how a hard link begins
_LONGEST = 1 << 16
_SCANNED_BYTES = 8 << 20

IsObject = Callable[[int], bool]


class Found(NamedTuple):
    """Link messages, and whether there is one for each name that the index lists.

    uncertain: names that have several links, of which the newest state may have another one.
    """

    bodies: list[bytes]
    is_all: bool
    uncertain: list[bytes]


class _Search:
    """Links found so far. hashes: of the names that the group has, as far as they are known."""

    def __init__(self, source: Source, is_object: IsObject, records: bytes, is_whole: bool) -> None:
        self._source, self._is_object = source, is_object
        self.ids = {record[4:]: dense.link_hash(record) for record in btree2.cut(records, dense.LINK_RECORD)}
        self.hashes = set(self.ids.values())
        self._is_whole = is_whole
        self.damaged: set[int] = set()  # hashes of names whose link is damaged: others of that name are earlier ones
        self.uncertain: set[bytes] = set()  # names of which there are several links, one of them of the newest state
        self.found: dict[bytes, bytes] = {}
        self._unchecked: set[bytes] = set()
        self._doubtful: set[bytes] = set()

    @property
    def is_all(self) -> bool:
        return self._is_whole and len(self.found) >= len(self.ids)

    @property
    def missing(self) -> set[int]:
        """Hashes of names whose link may be anywhere."""
        return self.hashes - self.damaged - set(map(lookup3, self.found))

    def take(self, body: bytes, *, is_checked: bool = False) -> bool:
        """Keep a link, unless one of its name is there; whether it is one. is_checked: its bytes fit a checksum."""
        link = link_message.decode(body)
        if not self._is_right(link, is_checked=is_checked):
            return False
        if link.name in self.found and (not is_checked or link.name not in self._unchecked):
            if link.name in self._unchecked and self.found[link.name] != body:
                self._doubtful.add(link.name)  # a turned bit has made one name of another
            return True
        self.found[link.name] = body
        self._unchecked.discard(link.name)
        if not is_checked:
            self._unchecked.add(link.name)
        return True

    def drop_doubtful(self) -> None:
        """Of two links to one object, or of one name, at least one is wrong, where nothing vouches for them."""
        leads = {name: link_message.decode(body).address for name, body in self.found.items()}
        times = Counter(leads.values())
        for name in self._unchecked:
            if name in self._doubtful or (leads[name] is not None and times[leads[name]] > 1):
                del self.found[name]

    def _is_right(self, link: Link, *, is_checked: bool) -> bool:
        if lookup3(link.name) not in self.hashes and (self._is_whole or not (is_checked or _is_text(link.name))):
            return False
        return self._is_object(link.address) if link.address is not None else is_checked or self._is_whole


def find(source: Source, info: Info, is_object: IsObject) -> Found:
    """The links of a group in dense storage. is_object: whether a sound header is at an address."""
    records, is_whole = btree2.Records(b"", 0), False
    with contextlib.suppress(CorruptStructureError):
        records, is_whole = btree2.readable_records(source, info.tree, dense.LINKS.by_name)
    is_right = records.size == dense.LINK_RECORD
    search = _Search(source, is_object, records.data if is_right else b"", is_whole and is_right)
    _by_places(source, info.heap, search)
    if not search.is_all:
        _in_blocks(source, info.heap, search)
    if search.missing:
        _anywhere(source, search)
    search.drop_doubtful()
    return Found(list(search.found.values()), search.is_all, sorted(search.uncertain & search.found.keys()))


def _by_places(source: Source, heap: int, search: _Search) -> None:
    """By the second tree of the indexed form, of numbers and places."""
    with contextlib.suppress(CorruptStructureError, UnsupportedFeatureError):
        header = read_huge_only(source, heap)
        if header is None:
            return
        places, _ = btree2.readable_records(source, header.tree, HUGE_PLACES)
        for address, length, number in PLACE.iter_unpack(places.data) if places.size == PLACE.size else ():
            name_hash = search.ids.get(dense.huge_id(number))
            try:
                body = source.read(address, length)
                link_hash = lookup3(link_message.decode(body).name) if name_hash is None else name_hash
                plain = checked_link(body, link_hash)
                search.take(plain, is_checked=len(plain) < len(body))
            except CorruptStructureError:
                search.damaged.update(() if name_hash is None else (name_hash,))


def _in_blocks(source: Source, heap: int, search: _Search) -> None:
    """One behind the other in the blocks of the heap, which its header lists, and which say whose they are."""
    places = set(_matches(source, re.compile(rb"FHDB\x00" + re.escape(heap.to_bytes(8, "little")))))
    with contextlib.suppress(CorruptStructureError, UnsupportedFeatureError):
        places.update(FractalHeap(source, heap).block_places)
    for at in sorted(address for address in places if address < source.size):
        block = source.read(at, min(_LARGEST_BLOCK, source.size - at))
        length = next((size for size in _BLOCK_SIZES if _is_whole(block[:size], size)), 0)
        end = _STRUCTURE.search(block, 5)
        _walk(block[: length or (end.start() if end else len(block))], search, is_checked=length > 0)


def _is_whole(block: bytes, size: int) -> bool:
    """True where the bytes are a block of this size: its checksum is behind its prefix, and counts as zeros."""
    at = _BLOCK_PREFIX - 4
    stored = int.from_bytes(block[at:_BLOCK_PREFIX], "little")
    return len(block) == size and lookup3(block[:at] + bytes(4) + block[_BLOCK_PREFIX:]) == stored


def _walk(block: bytes, search: _Search, *, is_checked: bool) -> None:
    at = _BLOCK_PREFIX
    while at + 12 <= len(block) and any(block[at : at + 32]):
        with contextlib.suppress(CorruptStructureError):
            body = block[at : at + link_message.length_of(block[at : at + _LONGEST])]
            if search.take(body, is_checked=is_checked):
                at += len(body)
                continue
        at += 1


def _anywhere(source: Source, search: _Search) -> None:
    """Links with a checksum of ours, wherever they are, by their names' hashes; the last ones are mostly the newest."""
    missing, newest = search.missing, dict[bytes, bytes]()
    for at in _matches(source, _SEALED):
        start = source.read(at, min(600, source.size - at))
        with contextlib.suppress(CorruptStructureError):
            length = link_message.length_of(start)
            body = start[: length + 4]
            link = link_message.decode(body)
            if lookup3(link.name) in missing and len(body) == length + 4:
                body = checked_link(body, lookup3(link.name))
                if newest.get(link.name, body) != body:
                    search.uncertain.add(link.name)
                newest[link.name] = body
    for body in newest.values():
        search.take(body, is_checked=True)


def _matches(source: Source, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Addresses at which a pattern of at most 13 bytes begins."""
    for start in range(0, source.size, _SCANNED_BYTES):
        data = source.read(start, min(_SCANNED_BYTES + 12, source.size - start))
        for match in pattern.finditer(data):
            if match.start() < _SCANNED_BYTES:
                yield start + match.start()


def _is_text(name: bytes) -> bool:
    return b"\0" not in name and name.decode("utf-8", "replace").isprintable()
