import enum
from collections.abc import Callable
from typing import Any, final

import numpy as np

class CorruptStructureError(Exception): ...
class UnsupportedFeatureError(Exception): ...

class Kind(enum.IntEnum):
    PLAIN = 0
    UTF8 = 1
    ASCII = 2
    NULL_TERMINATED = 3
    SPACE_PADDED = 4

_Link = tuple[str, int | bytes | tuple[bytes, bytes], int]

def set_model(array: Callable[..., Any], group: Callable[..., Any], unescape_name: Callable[[str], str]) -> None: ...
def lookup3(data: bytes | memoryview) -> int: ...

@final
class Source:
    descriptor: int
    size: int
    base: int
    reader: Callable[[int, Any], None] | None
    def __new__(
        cls,
        descriptor: int,
        file_size: int,
        base: int = 0,
        block_bytes: int = 65536,
        slots: int = 16,
        reader: Callable[[int, Any], None] | None = None,
    ) -> Source: ...
    def check_range(self, address: int, length: int) -> None: ...
    def read(self, address: int, length: int) -> bytes: ...
    def read_checked(self, address: int, length: int, what: str) -> bytes: ...
    def read_into(self, address: int, out: np.ndarray[Any, np.dtype[np.uint8]]) -> None: ...

@final
class Type:
    dtype: np.dtype[Any]
    size: int
    kind: int
    subshape: tuple[int, ...]

@final
class Dataset:
    space: tuple[int, ...] | None
    limits: tuple[int, ...]
    type: Type
    layout: bytes
    filters: bytes | None
    fill: bytes | None
    checked: bool
    external: bool
    @property
    def shape(self) -> tuple[int, ...] | None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

@final
class Parser:
    def __new__(cls, source: Source, owner: Any, lazy: bool = False, max_depth: int = 0) -> Parser: ...
    @property
    def where(self) -> tuple[str, ...]: ...
    def inspect(self, address: int) -> tuple[dict[str, Any], list[str], list[_Link] | None, Dataset | None]: ...
    def dataset(self, address: int) -> Dataset: ...
    def links(self, address: int) -> list[_Link]: ...
    def datatype_message(self, address: int) -> bytes | None: ...
    def text(self, references: bytes, shape: tuple[int, ...], as_bytes: bool) -> np.ndarray[Any, Any]: ...
    def load(self, address: int) -> Any: ...
    def children(
        self, address: int, names: tuple[str, ...], above: frozenset[Any], most: int | None = None
    ) -> dict[str, Any] | None: ...
    def node(self, address: int) -> Any: ...
    def claim(self, length: int) -> int: ...
    @property
    def reads_left(self) -> int: ...
    def run_reads(self, start: int, stop: int) -> list[tuple[tuple[str, ...], str]]: ...
