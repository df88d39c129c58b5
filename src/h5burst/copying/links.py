"""The links of a group in the source, and what its copy says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.copying import damaged_links
from h5burst.format import dense, info_message, link_message
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.info_message import Info
from h5burst.format.object_header import Message


class FoundLink(NamedTuple):
    """A link: its name, its message, the address that it leads to (None: a soft or external one), its order."""

    name: bytes
    body: bytes
    address: int | None
    order: int | None

    def with_address(self, address: int) -> bytes:
        """The message of a hard link that leads elsewhere."""
        return link_message.leading_to(self.body, address)


def read(source: Source, messages: Sequence[Message]) -> list[FoundLink]:
    """All links of a group, by their order where it is kept, else by name."""
    return _in_order(dense.all_links(source, messages), info_message.find(messages, oh.LINK_INFO))


def salvage(
    source: Source, messages: Sequence[Message], is_object: Callable[[int], bool]
) -> tuple[list[FoundLink], bool, list[bytes]]:
    """As `read`, of a group whose index is damaged; whether that is all, and the names that may be of earlier states.

    is_object: whether there is one at an address.
    """
    bodies, info = (
        [message.body for message in messages if message.type == oh.LINK],
        info_message.find(messages, oh.LINK_INFO),
    )
    if info.heap == UNDEFINED:
        return _in_order(bodies, info), False, []
    # A source of its own: it counts how often the file is looked at.
    again = Source(source.descriptor, source.base + source.size, source.base)
    outside = damaged_links.find(again, info, is_object)
    return _in_order([*bodies, *outside.bodies], info), outside.is_all, outside.uncertain


def _in_order(bodies: list[bytes], info: Info) -> list[FoundLink]:
    decoded = zip(map(link_message.decode, bodies), bodies, strict=True)
    links = [FoundLink(link.name, body, link.address, link.order) for link, body in decoded]
    if info.tracked:
        return sorted(links, key=lambda link: link.order or 0)
    return sorted(links, key=lambda link: link.name)
