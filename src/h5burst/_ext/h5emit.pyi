from collections.abc import Callable
from typing import Any

class NotCovered(Exception): ...

class Emitter:
    def __init__(
        self,
        nodes: tuple[type, type, type],
        escapes: tuple[Callable[[str], str], Callable[[str], str]],
        *,
        describe: Callable[[Any], bytes],
        compact_limit: Callable[[Any], int],
        scalar_limit: int,
        check: Callable[[Any, Any], object],
        store: Callable[[Any, Any], tuple[bytes, bytes]],
        write: Callable[[memoryview], None],
    ) -> None: ...
    def emit(self, tree: Any) -> int: ...
    def flush(self) -> int: ...
    def payload(self, view: memoryview) -> int: ...
    def append(self, metadata: bytes) -> int: ...

def lookup3(data: bytes) -> int: ...
