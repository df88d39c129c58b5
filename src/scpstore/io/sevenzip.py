"""Whether a 7z archive is encrypted.

What an archive holds is told by its header, which stands at the end and is itself packed, as a rule with LZMA. Names
are those of 7zFormat.txt in the LZMA SDK.
"""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

SIGNATURE = b"7z\xbc\xaf\x27\x1c"
_SIGNATURE_HEADER_BYTES = 32
_MOST_HEADER_BYTES = 1 << 24
_ENCODED_HEADER, _PACK_INFO, _UNPACK_INFO, _SIZE, _FOLDER, _CODERS_UNPACK_SIZE = 0x17, 0x06, 0x07, 0x09, 0x0B, 0x0C
_LZMA, _LZMA2, _AES = b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"


def sevenzip_encrypted(path: Path) -> bool:
    """Whether one of the coders of a 7z archive is AES; False for what is not a whole 7z archive."""
    with open(path, "rb") as stream:
        start = stream.read(_SIGNATURE_HEADER_BYTES)
        if len(start) < _SIGNATURE_HEADER_BYTES or not start.startswith(SIGNATURE):
            return False
        offset, size = struct.unpack_from("<QQ", start, 12)
        if size > _MOST_HEADER_BYTES:
            return False
        try:
            stream.seek(_SIGNATURE_HEADER_BYTES + offset)
            header = stream.read(size)
            if _AES in header or header[:1] != bytes([_ENCODED_HEADER]):
                return _AES in header
            packed = _PackedHeader(header)
            stream.seek(_SIGNATURE_HEADER_BYTES + packed.position)
            return _AES in packed.unpack(stream.read(packed.size))
        except (OSError, OverflowError, IndexError, ValueError, lzma.LZMAError):  # not a whole archive
            return False


class _PackedHeader:
    """An encoded header: where the real one is and how it is packed (one directory of one coder)."""

    def __init__(self, header: bytes) -> None:
        self._bytes, self._place = header, 1
        self._expect(_PACK_INFO)
        self.position = self._number()
        self._expect(1, _SIZE)
        self.size = self._number()
        self._expect(0, _UNPACK_INFO, _FOLDER, 1, 0, 1)
        flags = self._byte()
        self.coder = self._take(flags & 0x0F)
        self.properties = self._take(self._number()) if flags & 0x20 else b""
        self._expect(_CODERS_UNPACK_SIZE)
        self.unpacked_size = self._number()

    def unpack(self, packed: bytes) -> bytes:
        if max(self.size, self.unpacked_size) > _MOST_HEADER_BYTES:
            raise ValueError("a header of unlikely size")
        if self.coder == _LZMA2:
            filters = {"id": lzma.FILTER_LZMA2}
        elif self.coder == _LZMA:
            first, dictionary = struct.unpack("<BI", self.properties)
            filters = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": first % 9}
            filters |= {"lp": first // 9 % 5, "pb": first // 45}
        else:
            raise ValueError(f"a header packed by {self.coder.hex()}")
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters]).decompress(packed, self.unpacked_size)

    def _byte(self) -> int:
        self._place += 1
        return self._bytes[self._place - 1]

    def _take(self, count: int) -> bytes:
        self._place += count
        return self._bytes[self._place - count : self._place]

    def _expect(self, *wanted: int) -> None:
        if any(self._byte() != byte for byte in wanted):
            raise ValueError("another kind of header")

    def _number(self) -> int:
        """7z's number: the leading ones of the first byte say how many bytes follow."""
        first = self._byte()
        more = next((n for n in range(8) if not first & 0x80 >> n), 8)
        low = int.from_bytes(self._take(more), "little")
        return low | ((first & ((0x80 >> more) - 1)) << 8 * more if more < 8 else 0)
