"""Objects of a file copied one by one: headers taken apart, everything in them that is an address set anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.copying import datasets, links
from h5burst.copying.datasets import DatasetCopier, DatasetHeader, Recoding
from h5burst.copying.elements import Translator
from h5burst.copying.links import FoundLink
from h5burst.copying.output import CountingWriter, Output, SizeProbe, Writer
from h5burst.format import attribute as attributes
from h5burst.format import dataspace, dense, group_info, info_message, link_message, shared_messages
from h5burst.format import object_header as oh
from h5burst.format.address_offsets import address_offsets_of
from h5burst.format.constants import ATTRIBUTES_IN_HEADER, LINKS_IN_HEADER, UNDEFINED
from h5burst.format.dense import Item
from h5burst.format.info_message import NO_INFO, Info
from h5burst.format.object_header import Message, ObjectHeader, OnUnreadable
from h5burst.format.shared_messages import SharedMessages
from h5burst.model import values
from h5burst.model.errors import DEEP, CorruptStructureError, UnsupportedFeatureError
from h5burst.model.text import TEXT

_COPIED_MESSAGES = frozenset(
    {
        oh.DATASPACE,
        oh.DATATYPE,
        oh.OLD_FILL_VALUE,
        oh.FILL_VALUE,
        oh.COMMENT,
        oh.OLD_MODIFICATION_TIME,
        oh.MODIFICATION_TIME,
    }
)
_GROUP = frozenset({oh.LINK, oh.LINK_INFO, oh.GROUP_INFO, oh.SYMBOL_TABLE})
_REBUILT_MESSAGES = _GROUP | {oh.ATTRIBUTE, oh.ATTRIBUTE_INFO, oh.REFERENCE_COUNT, oh.DATA_LAYOUT, oh.FILTER_PIPELINE}
_FRAME_BYTES = 4  # of a message in a header without an order
_RECURSION = 64  # groups inside each other that are copied by a call inside a call
_DEEPEST = 10_000  # groups inside each other: their names take memory by the square of it
_MARKER = values.TYPE.encode()
_MARKERS = frozenset(name.encode() for name in (*values.GROUP_MARKERS, TEXT))

Names = tuple[bytes, ...]
Keep = dict[bytes, Any]  # names of what is copied of a group; below each the same, None for all
OnUnreadableObject = Callable[[Names, str], None]


class _Object(NamedTuple):
    """An object that is copied: its address, its names from the root, what of it is kept."""

    address: int
    names: Names
    keep: Keep | None

    @property
    def key(self) -> tuple[int, int]:
        return self.address, id(self.keep) if self.keep is not None else 0

    def keeps(self, name: bytes) -> bool:
        return self.keep is None or name in self.keep


class _DeferredHeader(NamedTuple):
    """An object whose header is written when all addresses are known."""

    object: _Object
    address: int
    length: int


class ObjectCopier:
    """Copies objects of `source` to `output`.

    where: names of the object that is being copied, for who catches an error. on_unreadable: called for what
    cannot be read, instead of raising.
    """

    def __init__(
        self,
        source: Source,
        output: Output | CountingWriter,
        extension: int,
        recoding: Recoding | None,
        on_unreadable: OnUnreadableObject | None = None,
    ) -> None:
        self._source, self._output, self._on_unreadable = source, output, on_unreadable
        self._shared = SharedMessages(source, extension)
        self._translator = Translator(source, self.new_address, is_tolerant=on_unreadable is not None)
        self._datasets = DatasetCopier(source, self._translator, recoding, is_tolerant=on_unreadable is not None)
        self._new: dict[tuple[int, int], int | None] = {}  # None while an object is being copied
        self._by_address: dict[int, int] = {}
        self._link_counts: Counter[tuple[int, int]] = Counter()  # hard links in the copy, by the object's key
        self._waiting: list[_DeferredHeader] = []
        self._cyclic: set[tuple[int, int]] = set()  # groups with a link to one that holds them
        self._salvaged_links: dict[tuple[int, int], list[FoundLink]] = {}  # of groups whose index is damaged
        self._incomplete: set[tuple[int, int]] = set()  # objects that have lost members or texts
        self._additional: dict[tuple[int, int], Item] = {}  # a link that a group has in the copy alone
        self._committed: dict[int, bytes] = {}
        self.where: Names = ()
        self.objects = 0
        self.holds_references = False  # any object that was copied so far
        self.progress: Callable[[], None] = lambda: None
        self.keeps_link_counts = False  # of objects: as they are in the source, not as they are met

    def copy_all(self, root: int, keep: Keep | None = None) -> int:
        """Copy the root group and what is below it. Returns its new address."""
        new = self.copy_object(root, (), keep)
        if not new:
            raise CorruptStructureError("the root group cannot be read")
        self.finish()
        return self._by_address[root]

    def copy_object(self, address: int, names: Names, keep: Keep | None = None) -> int:
        """Copy an object and what is below it, but for headers that wait for `finish`: its address, 0 if it is lost.

        The caller links to it.
        """
        item = _Object(address, names, keep)
        self._link_counts[item.key] += 1
        return self._copy(item) or 0

    def finish(self) -> None:
        """Write the headers that hold addresses which were not known before."""
        while self._waiting:
            waiting = self._waiting.pop()
            self.where = waiting.object.names
            self._output.patch(waiting.address, self._finished(waiting))

    def is_copied(self, address: int) -> bool:
        """True where an object was come upon."""
        return (address, 0) in self._new

    def children(self, address: int) -> list[int]:
        """The targets of the hard links of a group; none for other objects. Raises `CorruptStructureError`."""
        messages = oh.decode(self._source, address).messages
        if not any(message.type in _GROUP for message in messages):
            return []
        members = links.read(self._source, messages)
        return [link.address for link in members if link.address is not None]

    def add_group(self, members: Sequence[tuple[bytes, int]]) -> int:
        """Write a group with hard links to objects of the copy. Returns its address."""
        items = [Item(name, link_message.encode(name, address), 0) for name, address in members]
        return self._output.append(
            oh.encode(ObjectHeader(messages=self._link_messages(items, NO_INFO, None, self._output)))
        )

    def add_to_root(self, root: int, name: bytes, address: int) -> int:
        """Write the root group, which waits for `finish`, with one link more. Returns its new address."""
        item = _Object(root, (), None)
        self._waiting = [waiting for waiting in self._waiting if waiting.object != item]
        self._additional[item.key] = Item(name, link_message.encode(name, address), 1 << 62)
        header = oh.encode(self._rewritten(item, SizeProbe(), is_first=False))
        new = self._output.append(bytes(len(header)))
        self._new[item.key] = self._by_address[root] = new
        self._waiting.append(_DeferredHeader(item, new, len(header)))
        return new

    def _finished(self, waiting: _DeferredHeader) -> bytes:
        """The header of an object for which room was left."""
        self._translator.on_unreadable = self._noting(waiting.object, self._output)
        try:
            data = oh.encode(self._rewritten(waiting.object, self._output, is_first=False))
            if len(data) != waiting.length:
                if waiting.object.key not in self._incomplete or len(data) > waiting.length:
                    raise CorruptStructureError("an object changed while it was copied")
                data = data.ljust(waiting.length, b"\0")  # the marker of its type is left out
        except (CorruptStructureError, UnsupportedFeatureError) as error:
            if self._on_unreadable is None:
                raise
            self._on_unreadable(waiting.object.names, str(error))
            return _empty_group(waiting.length)
        return data

    def require(self, root: int, keep: Keep) -> None:
        """Raise `KeyError` for a selected path that leads nowhere."""
        waiting: list[tuple[int, Names, Keep]] = [(root, (), keep)]
        while waiting:
            address, names, below = waiting.pop()
            messages = [self._own(message) for message in oh.decode(self._source, address).messages]
            members = {link.name: link for link in links.read(self._source, messages)}
            for name, inner in below.items():
                link = members.get(name)
                path = b"/".join((*names, name)).decode("utf-8", "replace")
                if link is None:
                    raise KeyError(f"/{path}: there is no object of that path")
                if inner is not None and link.address is None:
                    raise KeyError(f"/{path} is a soft or external link: select what it leads to by its own path")
                if inner is not None and link.address is not None:
                    waiting.append((link.address, (*names, name), inner))

    def new_address(self, old: int) -> int:
        """The address of an object's copy; 0 for what is not in the copy."""
        return self._by_address.get(old, 0)

    # ------------------------------------------------------------ one object

    def _copy(self, item: _Object) -> int | None:
        """The address of an object's copy; None for one that is being copied, 0 for one that is lost."""
        if item.key in self._new:
            return self._new[item.key]
        if len(item.names) >= _RECURSION:
            return self._copy_deep(item)
        self._new[item.key] = None
        return self._copy_one(item)

    def _copy_deep(self, top: _Object) -> int | None:
        """As `_copy`, in the same order, without a call for each group inside a group."""
        waiting = [(top, False)]
        while waiting:
            item, is_below_copied = waiting.pop()
            if is_below_copied:
                self._copy_one(item)
            elif item.key not in self._new:
                if len(item.names) > _DEEPEST:
                    raise UnsupportedFeatureError(f"more than {_DEEPEST} {DEEP}")
                self._new[item.key] = None
                waiting.append((item, True))
                waiting += ((below, False) for below in reversed(self._members(item)))
        return self._new[top.key]

    def _members(self, item: _Object) -> list[_Object]:
        """Targets of the hard links of a group; none where they cannot be read: its copying says so."""
        try:
            messages = [self._own(message) for message in self._decoded(item, is_first=False).messages]
            if not any(message.type in _GROUP for message in messages):
                return []
            members = self._links(item, messages)
        except (CorruptStructureError, UnsupportedFeatureError):
            return []
        return [self._below(item, link) for link in members if link.address is not None and item.keeps(link.name)]

    def _copy_one(self, item: _Object) -> int:
        above, self.where = self.where, item.names
        try:
            new = self._copied(item)
        except (CorruptStructureError, UnsupportedFeatureError) as error:
            if self._on_unreadable is None:
                raise
            self._on_unreadable(item.names, str(error))
            new = 0
        self.where = above
        self._new[item.key] = new
        if new:
            self._by_address[item.address] = new
            self.objects += 1
            self.progress()
        return new

    def _copied(self, item: _Object) -> int:
        old = self._decoded(item, is_first=True)
        refers = self._holds_references(old)
        self.holds_references = self.holds_references or refers
        is_known_later = self._on_unreadable is not None or old.links != 1 or refers
        header = self._rewritten(item, SizeProbe() if is_known_later else self._output, is_first=True, old=old)
        data = oh.encode(header)
        new = self._output.append(data)
        if is_known_later or item.key in self._cyclic:
            self._waiting.append(_DeferredHeader(item, new, len(data)))
        return new

    def _decoded(self, item: _Object, *, is_first: bool) -> ObjectHeader:
        on_unreadable = self._on_unreadable
        if on_unreadable is None:
            return oh.decode(self._source, item.address)
        return oh.decode(
            self._source, item.address, lambda damage: on_unreadable(item.names, damage) if is_first else None
        )

    def _holds_references(self, header: ObjectHeader) -> bool:
        """True where elements or attributes of an object name addresses that are known when all is copied."""
        messages = [self._own(message) for message in header.messages]
        datatype = self._datatype(messages)
        if datatype is not None and address_offsets_of(datatype).holds_references:
            return True
        bodies = (item.body for item in self._attribute_items(messages))
        return any(
            address_offsets_of(self._attribute_type(attributes.decode(body))).holds_references for body in bodies
        )

    def _rewritten(
        self, item: _Object, writer: Writer, *, is_first: bool, old: ObjectHeader | None = None
    ) -> ObjectHeader:
        """The header of the copy; what is outside it is written.

        is_first: the first of two times, or the only one, in which objects below are copied and links are counted.
        """
        old = old or self._decoded(item, is_first=is_first)
        messages = [self._own(message) for message in old.messages]
        new = ObjectHeader(old.flags, old.times, old.phase)
        datatype = self._datatype(messages)
        for message in messages:
            if message.type not in _REBUILT_MESSAGES:
                new.messages.append(self._other(message, datatype, writer, is_first))
        layout = next((message for message in messages if message.type == oh.DATA_LAYOUT), None)
        if is_first and self._on_unreadable is not None and layout is not None:
            self._datasets.check_single(self._stored(messages, datatype))
        # The rest of its header cannot be read.
        is_rest = self._on_unreadable is not None and layout is None and datatype is None
        if is_rest or any(message.type in _GROUP for message in messages) or not item.names:
            new.messages += self._group(item, messages, writer, is_first)
        if layout is not None:
            new.messages += self._datasets.messages(
                self._stored(messages, datatype), writer, self._noting(item, writer)
            )
        new.messages += self._attributes(item, old, messages, writer, is_first)
        count = old.links if self.keeps_link_counts else self._link_counts[item.key]
        if old.links != 1 or self._on_unreadable is not None:
            new.messages.append(oh.reference_count(max(1, count)))
        return new

    def _noting(self, item: _Object, writer: Writer) -> OnUnreadable | None:
        """Take note of elements that cannot be read, once for each."""
        on_unreadable = self._on_unreadable
        if on_unreadable is None or isinstance(writer, SizeProbe):
            return None

        def note(damage: str) -> None:
            self._incomplete.add(item.key)
            on_unreadable(item.names, damage)

        return note

    # ------------------------------------------------------------ messages

    def _own(self, message: Message) -> Message:
        """A message that is shared through the file's table as one of its own."""
        if not message.flags & oh.SHARED:
            return message
        shared_at = shared_messages.decode_place(message.body)
        if shared_at.address is not None:
            return message
        body = self._shared.body(message.type, shared_at.heap_id)
        return message._replace(flags=message.flags & ~oh.SHARED, body=body)

    def _other(self, message: Message, datatype: bytes | None, writer: Writer, is_first: bool) -> Message:
        kind, body = message.type, message.body
        if kind == oh.DATATYPE and message.flags & oh.SHARED:
            return message._replace(body=self._committed_copy(body, is_first))
        if kind == oh.EXTERNAL_FILES:
            return message._replace(body=datasets.moved_names(self._source, body, writer))
        if kind not in _COPIED_MESSAGES or message.flags & oh.SHARED:
            raise UnsupportedFeatureError(f"messages of type {kind}")
        if kind in (oh.FILL_VALUE, oh.OLD_FILL_VALUE) and datatype is not None:
            places = address_offsets_of(datatype)
            if not places.is_plain and len(body) > places.size:
                value = self._datasets.elements(body[-places.size :], places, writer)
                return message._replace(body=body[: -places.size] + value)
        return message

    def _datatype(self, messages: Sequence[Message]) -> bytes | None:
        """The datatype of a dataset or a committed datatype; None for other objects."""
        message = next((message for message in messages if message.type == oh.DATATYPE), None)
        if message is None:
            return None
        return self._committed_type(message.body) if message.flags & oh.SHARED else message.body

    def _committed_type(self, body: bytes) -> bytes:
        """The datatype message of the committed datatype that a shared message names."""
        address = shared_messages.decode_place(body).address
        if address is None:
            raise CorruptStructureError("a datatype is shared in an unknown place")
        if address not in self._committed:
            datatype = oh.decode(self._source, address).first(oh.DATATYPE)
            if datatype is None:
                raise CorruptStructureError(f"there is no committed datatype at address {address}")
            self._committed[address] = self._own(datatype).body
        return self._committed[address]

    def _committed_copy(self, body: bytes, is_first: bool) -> bytes:
        """The same for the copy, in which the datatype is copied if it is not yet."""
        address = shared_messages.decode_place(body).address
        if address is None:
            raise CorruptStructureError("a datatype is shared in an unknown place")
        item = _Object(address, self.where, None)
        new = self._copy(item)
        if not new:
            raise CorruptStructureError("a committed datatype cannot be read")
        self._link_counts[item.key] += is_first
        return shared_messages.encode_committed(new)

    def _stored(self, messages: Sequence[Message], datatype: bytes | None) -> DatasetHeader:
        bodies = {message.type: message.body for message in messages}
        if datatype is None or oh.DATASPACE not in bodies:
            raise CorruptStructureError("a dataset has no datatype or no dataspace")
        shape, limits = dataspace.extent(bodies[oh.DATASPACE])
        places = address_offsets_of(datatype)
        return DatasetHeader(shape, limits, places, bodies[oh.DATA_LAYOUT], bodies.get(oh.FILTER_PIPELINE))

    # ------------------------------------------------------------ attributes

    def _attribute_items(self, messages: Sequence[Message]) -> list[Item]:
        """Its attributes; those that are shared still are so outside the header alone."""
        items = []
        for message in dense.all_attributes(self._source, messages):
            body = self._shared.body(oh.ATTRIBUTE, message.body) if message.flags & oh.SHARED else message.body
            items.append(Item(b"", body, message.order))
        return items

    def _attributes(
        self, item: _Object, old: ObjectHeader, messages: Sequence[Message], writer: Writer, is_first: bool
    ) -> list[Message]:
        info, items = info_message.find(messages, oh.ATTRIBUTE_INFO), []
        for stored in self._attribute_items(messages):
            try:
                items.append(self._attribute(stored, writer, is_first))
            except (CorruptStructureError, UnsupportedFeatureError) as error:
                if self._on_unreadable is None:
                    raise
                name = attributes.stored_name(stored.body)
                if name in _MARKERS:
                    self._incomplete.add(item.key)
                if is_first:
                    self._on_unreadable((*item.names[:-1], (item.names or (b"/",))[-1] + b"@" + name), str(error))
        if item.key in self._incomplete:  # what is left is not of the type that its marker says
            items = [stored for stored in items if stored.name != _MARKER]
        if not items and info == NO_INFO:
            return []
        longest = max((len(stored.body) for stored in items), default=0)
        if len(items) <= ATTRIBUTES_IN_HEADER and longest <= oh.MESSAGE_LIMIT:
            body = info_message.encode(info._replace(heap=UNDEFINED, tree=UNDEFINED), 2)
            kept = [Message(oh.ATTRIBUTE, 0, stored.body, stored.order & 0xFFFF) for stored in items]
            return [Message(oh.ATTRIBUTE_INFO, oh.NEVER_SHARED, body), *kept]
        newest = [
            stored._replace(body=attributes.encode(attributes.decode(stored.body)._replace(version=3)))
            for stored in items
        ]
        addresses = dense.write(writer.append, dense.ATTRIBUTES, newest, by_order=info.indexed)
        body = info_message.encode(info._replace(heap=addresses.heap, tree=addresses.names), 2, addresses.orders)
        return [Message(oh.ATTRIBUTE_INFO, oh.NEVER_SHARED, body)]

    def _attribute_type(self, attribute: attributes.Attribute) -> bytes:
        if not attribute.is_type_shared:
            return attribute.datatype
        shared_at = shared_messages.decode_place(attribute.datatype)
        if shared_at.address is None:
            return self._shared.body(oh.DATATYPE, shared_at.heap_id)
        return self._committed_type(attribute.datatype)

    def _attribute(self, stored: Item, writer: Writer, is_first: bool) -> Item:
        attribute = attributes.decode(stored.body)
        datatype = self._attribute_type(attribute)
        places = address_offsets_of(datatype)
        if attribute.is_space_shared:
            heap_id = shared_messages.decode_place(attribute.dataspace).heap_id
            space = self._shared.body(oh.DATASPACE, heap_id)
            attribute = attribute._replace(dataspace=space, is_space_shared=False)
        if attribute.is_type_shared and shared_messages.decode_place(attribute.datatype).address is None:
            attribute = attribute._replace(datatype=datatype, is_type_shared=False)
        elif attribute.is_type_shared:
            attribute = attribute._replace(datatype=self._committed_copy(attribute.datatype, is_first))
        length = dataspace.element_count(attribute.dataspace) * places.size
        if len(attribute.elements) < length:
            raise CorruptStructureError("the elements of an attribute are cut short")
        if self._on_unreadable is not None and length == places.size:
            self._translator.check(attribute.elements[:length], places)
        elements = self._datasets.elements(attribute.elements[:length], places, writer)
        return Item(attribute.stored_name, attributes.encode(attribute._replace(elements=elements)), stored.order)

    # ------------------------------------------------------------ groups

    def _group(self, item: _Object, messages: Sequence[Message], writer: Writer, is_first: bool) -> list[Message]:
        copied = []
        for link in self._links(item, messages):
            if not item.keeps(link.name):
                continue
            body = self._link(item, link, is_first)
            if body is not None:
                copied.append(Item(link.name, body, link.order or 0))
        if item.key in self._additional:
            copied.append(self._additional[item.key])
        old = next((message.body for message in messages if message.type == oh.GROUP_INFO), None)
        return self._link_messages(copied, info_message.find(messages, oh.LINK_INFO), old, writer)

    def _link_messages(self, copied: list[Item], info: Info, old: bytes | None, writer: Writer) -> list[Message]:
        """All messages about the links of a group. old: the body of its group info message."""
        if len(copied) <= LINKS_IN_HEADER:
            body = info_message.encode(info._replace(heap=UNDEFINED, tree=UNDEFINED), 8)
            kept = [Message(oh.LINK, 0, link.body) for link in copied]
        else:
            addresses = dense.write(writer.append, dense.LINKS, copied, by_order=info.indexed)
            body = info_message.encode(info._replace(heap=addresses.heap, tree=addresses.names), 8, addresses.orders)
            kept = []
        info_body = group_info.allowing(old, len(kept))
        return [Message(oh.LINK_INFO, 0, body), Message(oh.GROUP_INFO, oh.CONSTANT, info_body), *kept]

    def _links(self, item: _Object, messages: Sequence[Message]) -> list[FoundLink]:
        try:
            return links.read(self._source, messages)
        except (CorruptStructureError, UnsupportedFeatureError) as error:
            if self._on_unreadable is None:
                raise
            if item.key not in self._salvaged_links:
                left, is_all, uncertain = links.salvage(self._source, messages, self._is_object)
                self._salvaged_links[item.key] = left
                if not is_all:
                    self._incomplete.add(item.key)
                self._on_unreadable(item.names, f"the links of the group: {error} ({len(left)} are brought)")
                for name in uncertain:
                    self._on_unreadable(
                        (*item.names, name), "it is there, perhaps in an earlier state: the index is damaged"
                    )
            return self._salvaged_links[item.key]

    def _is_object(self, address: int) -> bool:
        try:
            oh.decode(self._source, address)
        except (CorruptStructureError, UnsupportedFeatureError):
            return False
        return True

    def _link(self, item: _Object, link: FoundLink, is_first: bool) -> bytes | None:
        """The message of a link in the copy; None where what it leads to is lost."""
        if link.address is None:
            return link.body
        below = self._below(item, link)
        new = self._copy(below)
        if new == 0:
            self._incomplete.add(item.key)
            return None
        if new is None:
            self._cyclic.add(item.key)
        self._link_counts[below.key] += is_first
        return link.with_address(new or 0)

    def _below(self, item: _Object, link: FoundLink) -> _Object:
        """Target of a hard link of a group."""
        assert link.address is not None
        keep = None if item.keep is None else item.keep[link.name]
        return _Object(link.address, (*item.names, link.name), keep)


def _empty_group(length: int) -> bytes:
    """The header of a group without links, of this many bytes: what stands for an object that is lost late."""
    info = Message(oh.LINK_INFO, 0, info_message.encode(NO_INFO, 8))
    header = ObjectHeader(messages=[info, Message(oh.GROUP_INFO, oh.CONSTANT, b"\0\0")])
    while (short := length - len(oh.encode(header))) >= _FRAME_BYTES:
        room = min(short - _FRAME_BYTES, oh.MESSAGE_LIMIT - _FRAME_BYTES)
        header.messages.append(Message(oh.NIL, 0, bytes(room)))
    return oh.encode(header) + bytes(short)
