"""The program that encrypted a file, told from its first bytes.

Sources: RFC 4880 and 9580 (OpenPGP packets), openssl-enc(1), the age specification (age-encryption.org/v1), PKWARE's
APPNOTE.TXT (zip), the signatures of RAR and 7z, LUKS on-disk format.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Encryption:
    """The program that encrypted a file, and the command that decrypts it."""

    by: str
    remedy: str


_MAGIC: tuple[tuple[bytes, Encryption], ...] = (
    (b"-----BEGIN PGP MESSAGE-----", Encryption("GnuPG (OpenPGP, armored)", "gpg --output plain.h5 --decrypt {path}")),
    (b"Salted__", Encryption("OpenSSL", "openssl enc -d -pbkdf2 -aes-256-cbc -in {path} -out plain.h5")),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", Encryption("age (armored)", "age --decrypt -o plain.h5 {path}")),
    (b"age-encryption.org/", Encryption("age", "age --decrypt -o plain.h5 {path}")),
    (b"-----BEGIN CMS-----", Encryption("OpenSSL (CMS)", "openssl cms -decrypt -inform PEM -in {path} -out plain.h5")),
    (
        b"-----BEGIN PKCS7-----",
        Encryption("OpenSSL (S/MIME)", "openssl smime -decrypt -inform PEM -in {path} -out plain.h5"),
    ),
    (b"$ANSIBLE_VAULT;", Encryption("Ansible Vault", "ansible-vault decrypt {path}")),
    (b"\0GITCRYPT\0", Encryption("git-crypt", "git-crypt unlock")),
    (b"LUKS\xba\xbe", Encryption("LUKS (an encrypted volume)", "cryptsetup open {path}, then mount it")),
    (b"RCLONE\0\0", Encryption("rclone crypt", "rclone copy from the remote that encrypted it")),
    (b"AES\x02", Encryption("AES Crypt", "aescrypt -d {path}")),
    # Which of these archives have a password is deep in their headers.
    (b"7z\xbc\xaf\x27\x1c", Encryption("a password (or packed: a 7z archive)", "extract what is in it")),
    (b"Rar!\x1a\x07", Encryption("a password (or packed: a rar archive)", "extract what is in it")),
)

_ZIP = Encryption("a password (an encrypted zip archive)", "extract it with its password")
_OPENPGP = Encryption("GnuPG (OpenPGP)", "gpg --output plain.h5 --decrypt {path}")
_PKESK, _SKESK = 1, 3  # tags of the packets that an encrypted message begins with
_PACKET_VERSIONS = {_PKESK: (2, 3, 6), _SKESK: (4, 5, 6)}


def encryption_of(path: Path) -> Encryption | None:
    """The encryption of a file; None where nothing tells of any."""
    with open(path, "rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for magic, encryption in _MAGIC:
        if head.startswith(magic):
            return encryption
    if _is_openpgp(head):
        return _OPENPGP
    return _ZIP if _zip_encrypted(path) else None


def _is_openpgp(head: bytes) -> bool:
    """True where the file begins with the packet of an encrypted session key, of a known version and a sane length."""
    if len(head) < 6 or not head[0] & 0x80:
        return False
    if head[0] & 0x40:  # new packet format: six bits of tag; one, two or five bytes of length
        tag = head[0] & 0x3F
        first = head[1]
        length_bytes = 1 if first < 192 else 2 if first < 224 else 5
        length = first if first < 192 else ((first - 192) << 8) + head[2] + 192 if first < 224 else 0
    else:  # old packet format: four bits of tag, two of the length's size
        tag = head[0] >> 2 & 0x0F
        length_bytes = (1, 2, 4, 0)[head[0] & 3]
        length = int.from_bytes(head[1 : 1 + length_bytes], "big")
    body = head[1 + length_bytes :]
    return tag in _PACKET_VERSIONS and bool(body) and body[0] in _PACKET_VERSIONS[tag] and 4 <= length < 8192


def _zip_encrypted(path: Path) -> bool:
    """Bit 0 of the flags of any entry."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(entry.flag_bits & 1 for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # not a zip archive, or not a whole one
        return False
