"""The links of a group that is already in a file, and the messages that hold them after a change.

Up to `LINKS_IN_HEADER` links are kept in the group's header. More are kept in an indexed form whose cost does not grow
with the group: each link is a huge object of a fractal heap (bytes anywhere in the file, found by a B-tree of numbers),
and a B-tree of names finds the number. Behind each link stands a checksum of ours, since the format has none there.
Huge objects and nodes of B-trees do not say where the heap's header is, as its blocks would; so a change writes some
links, the nodes on the way to them and new headers, and keeps everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from h5burst._ext.h5parse import Source, checked_link, lookup3
from h5burst.format import btree2, btree2_update, dense, group_info, info_message, link_message
from h5burst.format import object_header as oh
from h5burst.format.constants import LINKS_IN_HEADER, UNDEFINED
from h5burst.format.dense import Item
from h5burst.format.fractal_heap import HUGE_PLACES, PLACE, HugeOnly, encode_huge_only, read_huge_only
from h5burst.format.info_message import Info
from h5burst.format.link_message import Link
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.model.errors import CorruptStructureError
from h5burst.write.native import NeedsLibhdf5Error

FEWER_IN_HEADER = 256  # an indexed group that has become so small goes back into its header
_ORDERED = "a group of many links that is indexed by the order of their making"

Append: TypeAlias = "Callable[[bytes], int]"
Changes: TypeAlias = "Mapping[bytes, int | None]"  # stored name -> new address; None: the link goes
_OWN = (oh.LINK, oh.LINK_INFO, oh.GROUP_INFO, oh.SYMBOL_TABLE)


class GroupLinks:
    """The links of one group by their stored names."""

    def __init__(self, source: Source, header: ObjectHeader) -> None:
        self._header = header
        self._info = info_message.find(header.messages, oh.LINK_INFO)
        self._indexed = None if self._info.heap == UNDEFINED else _Indexed.open(source, self._info)
        self._listed = _listed(source, header) if self._indexed is None else {}

    @classmethod
    def written(cls, header: ObjectHeader, listed: dict[bytes, Message]) -> GroupLinks:
        """Those of a group that was just written, all of them in its header."""
        new = cls.__new__(cls)
        new._header, new._indexed, new._listed = header, None, listed
        new._info = info_message.find(header.messages, oh.LINK_INFO)
        return new

    def find(self, name: bytes) -> Link | None:
        """A link, None where there is none of that name."""
        body = self.body(name)
        return None if body is None else link_message.decode(body)

    def addresses(self) -> list[int]:
        """The addresses to which its hard links lead."""
        bodies = self._all_bodies().values()
        return [link.address for link in map(link_message.decode, bodies) if link.address is not None]

    def differing(self, later: GroupLinks) -> list[bytes]:
        """Names whose links are others in a later state of the group; what both states share is not read."""
        if self._indexed is not None and later._indexed is not None:
            return self._indexed.differing(later._indexed)
        old, new = self._all_bodies(), later._all_bodies()
        return [name for name in {**old, **new} if old.get(name) != new.get(name)]

    def _all_bodies(self) -> dict[bytes, bytes]:
        if self._indexed is not None:
            return self._indexed.all_bodies()
        return {name: message.body for name, message in self._listed.items()}

    def body(self, name: bytes) -> bytes | None:
        """The message of a link, None where there is none of that name."""
        if self._indexed is not None:
            return self._indexed.body(name)
        message = self._listed.get(name)
        return None if message is None else message.body

    def changed(self, append: Append, changes: Changes) -> tuple[list[Message], dict[bytes, Message] | None]:
        """All messages of the header after the change; what is outside it is appended.

        And the links by name, where they are all among the messages.
        """
        others = [message for message in self._header.messages if message.type not in _OWN]
        listed = self._listed
        if self._indexed is not None:
            count = self._indexed.count + sum(
                (address is not None) - (self._indexed.body(name) is not None) for name, address in changes.items()
            )
            if count > FEWER_IN_HEADER:
                if self._info.indexed:
                    raise NeedsLibhdf5Error(_ORDERED)
                heap, tree, order = self._indexed.changed(append, changes, self._info)
                return self._messages(heap, tree, order, {}) + others, None
            listed = {name: Message(oh.LINK, 0, body) for name, body in self._indexed.all_bodies().items()}
        listed, order = dict(listed), self._info.next_order
        for name, address in changes.items():
            if address is None:
                del listed[name]
                continue
            old = listed.get(name)
            kept, order = _next_order(None if old is None else old.body, order, self._info)
            listed[name] = Message(oh.LINK, 0, link_message.encode(name, address, kept))
        if len(listed) <= LINKS_IN_HEADER:
            return self._messages(UNDEFINED, UNDEFINED, order, listed) + others, listed
        if self._info.indexed:
            raise NeedsLibhdf5Error(_ORDERED)
        items = (Item(name, message.body, 0) for name, message in listed.items())
        heap, tree, _ = dense.write(append, dense.LINKS, items)
        return self._messages(heap, tree, order, {}) + others, None

    def _messages(self, heap: int, tree: int, order: int, listed: Mapping[bytes, Message]) -> list[Message]:
        info = info_message.encode(Info(heap, tree, self._info.tracked, self._info.indexed, order), 8)
        return [Message(oh.LINK_INFO, 0, info), self._group_info(len(listed)), *listed.values()]

    def _group_info(self, count: int) -> Message:
        """The message as it was, but for a larger number of links that the header may hold where it holds more."""
        old = self._header.first(oh.GROUP_INFO)
        return Message(oh.GROUP_INFO, oh.CONSTANT, group_info.allowing(None if old is None else old.body, count))


def _listed(source: Source, header: ObjectHeader) -> dict[bytes, Message]:
    """The links of a group by name, as messages of its header."""
    inside = [
        message if not (message.flags or message.order) else Message(oh.LINK, 0, message.body)
        for message in header.messages
        if message.type == oh.LINK
    ]
    outside = [Message(oh.LINK, 0, body) for body in dense.links_outside(source, header.messages)]
    return link_message.by_name([*inside, *outside])


def _next_order(old: bytes | None, order: int, info: Info) -> tuple[int | None, int]:
    """The order of a link that is put: that of the one it replaces, else the next; and the next one's then."""
    if not info.tracked:
        return None, order
    kept = None if old is None else link_message.decode(old).order
    return (order, order + 1) if kept is None else (kept, order)


# ---------------------------------------------------------------- the indexed form


class _IndexedLink(NamedTuple):
    """A link in the indexed form: record in the tree of names, number and stored bytes in the heap, message."""

    record: bytes
    number: int
    length: int
    body: bytes


def _number_of(record: bytes) -> int:
    """In the record of a huge object: its number, behind address and length."""
    return int.from_bytes(record[16:], "little")


class _Indexed:
    """A group in the indexed form, as it is in the file."""

    def __init__(self, source: Source, info: Info, heap: HugeOnly) -> None:
        self._source = source
        self._last, tree, self.count, self._stored = heap
        self._names = btree2_update.Index(source, info.tree, dense.LINKS.by_name, dense.link_hash)
        self._places = btree2_update.Index(source, tree, HUGE_PLACES, _number_of)
        self._trees = info.tree, tree
        self._last_found: tuple[bytes, _IndexedLink | None] = b"", None  # no name is empty
        sizes = (index.header.shape.record_bytes for index in (self._names, self._places))
        if tuple(sizes) != (dense.LINK_RECORD, PLACE.size):
            raise CorruptStructureError("the index of a group has records of another size")

    @classmethod
    def open(cls, source: Source, info: Info) -> _Indexed | None:
        """None for a group whose links are kept in the blocks of its heap."""
        heap = read_huge_only(source, info.heap)
        return None if heap is None else cls(source, info, heap)

    def body(self, name: bytes) -> bytes | None:
        message = self._find(name)
        return None if message is None else message.body

    def _find(self, name: bytes) -> _IndexedLink | None:
        if name != self._last_found[0]:  # a change asks twice
            self._last_found = name, self._found(name)
        return self._last_found[1]

    def _found(self, name: bytes) -> _IndexedLink | None:
        for record in self._names.find(lookup3(name)):
            number = dense.link_number(record)
            places = self._places.find(number)
            if not places:
                raise CorruptStructureError("a huge object of a fractal heap is not in its index")
            address, length, _ = PLACE.unpack(places[0])
            body = checked_link(self._source.read(address, length), dense.link_hash(record))
            if link_message.decode(body).name == name:
                return _IndexedLink(record, number, length, body)
        return None

    def all_bodies(self) -> dict[bytes, bytes]:
        return {link_message.name_of(body): body for body in self._by_number().values()}

    def differing(self, later: _Indexed) -> list[bytes]:
        """As of `GroupLinks`: links are at other places where they are others."""
        names: dict[bytes, None] = {}
        for records in btree2.differing(self._source, (self._trees[1], later._trees[1]), HUGE_PLACES):
            for record in records:
                address, length, _ = PLACE.unpack(record)
                names[link_message.name_of(self._source.read(address, length))] = None
        return [name for name in names if self.body(name) != later.body(name)]

    def _by_number(self) -> dict[int, bytes]:
        records = btree2.cut(*btree2.read_records(self._source, self._trees[0], dense.LINKS.by_name))
        hashes = {dense.link_number(record): dense.link_hash(record) for record in records}
        places = map(PLACE.unpack, self._all_places())
        stored = {number: self._source.read(at, length) for at, length, number in places}
        if hashes.keys() != stored.keys() or len(records) != self.count:
            raise CorruptStructureError("the index of a group lists other links than its heap holds")
        return {number: checked_link(body, hashes[number]) for number, body in stored.items()}

    def changed(self, append: Append, changes: Changes, info: Info) -> tuple[int, int, int]:
        """Addresses of the heap and of the tree of names after the change, and the next link's order."""
        order, last, stored, count = info.next_order, self._last, self._stored, self.count
        names_put: list[bytes] = []
        names_gone: list[bytes] = []
        places_put: list[bytes] = []
        places_gone: list[bytes] = []
        bodies: dict[int, bytes | None] = {}
        clash = False
        for name, address in changes.items():
            old = self._find(name)
            if old is not None:
                stored -= old.length
            if address is None:
                if old is not None:
                    names_gone.append(old.record)
                    places_gone += self._places.find(old.number)
                    bodies[old.number] = None
                    count -= 1
                continue
            kept, order = _next_order(old.body if old else None, order, info)
            body = link_message.encode(name, address, kept)
            if old is None:
                clash = clash or bool(self._names.find(lookup3(name)))
                link_number = last = self._next_number(last)
                names_put.append(dense.link_record(name, link_number))
                count += 1
            else:
                link_number = old.number
            bodies[link_number] = body
            sealed = dense.sealed_link(body)
            stored += len(sealed)
            places_put.append(PLACE.pack(append(sealed), len(sealed), link_number))
        clash = clash or len({record[:4] for record in names_put}) < len(names_put)
        places = self._new_places(append, places_put, places_gone)
        names = self._new_names(append, names_put, names_gone, clash, bodies)
        return append(encode_huge_only(last, places, count, stored)), names, order

    def _all_places(self) -> list[bytes]:
        return btree2.cut(*btree2.read_records(self._source, self._trees[1], HUGE_PLACES))

    def _next_number(self, last: int) -> int:
        """The number of a new link: others may have added some since, so none that is in use is taken."""
        last += 1
        while self._places.find(last):
            last += 1
        return last

    def _new_places(self, append: Append, puts: list[bytes], gone: list[bytes]) -> int:
        if not (puts or gone):
            return self._trees[1]
        new = self._places.updated(append, puts, gone)
        if new is not None:
            return new.address
        records = {_number_of(record): record for record in self._all_places()}
        for record in gone:
            del records[_number_of(record)]
        records.update((_number_of(record), record) for record in puts)
        return btree2_update.write(append, HUGE_PLACES, [records[number] for number in sorted(records)])

    def _new_names(
        self, append: Append, puts: list[bytes], gone: list[bytes], clash: bool, bodies: Mapping[int, bytes | None]
    ) -> int:
        if not puts and not gone:
            return self._trees[0]
        new = None if clash else self._names.updated(append, puts, gone)
        if new is not None:
            return new.address
        merged = {**self._by_number(), **bodies}
        links = [(link_message.decode(body).name, number) for number, body in merged.items() if body is not None]
        ordered = sorted((lookup3(name), name, dense.link_record(name, number)) for name, number in links)
        return btree2_update.write(append, dense.LINKS.by_name, [record for _, _, record in ordered])
