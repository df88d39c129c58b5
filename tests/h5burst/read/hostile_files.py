"""Damages a file in many ways, loads each, and reports as JSON what came of it; run in a process of its own.

    python hostile_files.py FILE KIND COUNT SEED

KIND: `flips` (one bit each), `truncations` (at every 4 KiB, COUNT of them, 0 for all), `forged` (bytes changed inside
one structure whose checksum is then made right again), `blanks` (a page of zeros, or of another page). Every load must
end in an `OSError` or a tree, within the limits of this process; anything else is listed as wrong. With every 20th
file all else that can be asked of one is tried as well.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import h5burst
from h5burst._ext.h5parse import lookup3
from h5burst.model.tree import Array, Group
from reference.hdf5_reading import differences
from support.verbs import misbehaviours

PAGE = 4096
MEMORY = 3 << 30  # bytes of address space that all loads together may use
SECONDS = 20  # for one load, and for all verbs
VERBS_EVERY = 20  # files
STRUCTURES = re.compile(rb"OHDR|OCHK|BTHD|BTLF|BTIN|FRHP|FHDB|FHIB|FAHD|FADB|EAHD|EAIB|EASB|EADB")


def damaged(data: bytes, kind: str, count: int, seed: int) -> Iterator[tuple[Any, bytes]]:
    """(what was done, the damaged file)."""
    rng = random.Random(seed)
    if kind == "truncations":
        ends = list(range(0, len(data), PAGE))
        for end in sorted(rng.sample(ends, min(count or len(ends), len(ends)))):
            yield end, data[:end]
        return
    forge = {"flips": _flip, "forged": _forge, "blanks": _blank}[kind]
    for _ in range(count):
        yield forge(data, rng)


def _flip(data: bytes, rng: random.Random) -> tuple[Any, bytes]:
    bit = rng.randrange(8 * len(data))
    out = bytearray(data)
    out[bit >> 3] ^= 1 << (bit & 7)
    return bit, bytes(out)


def _blank(data: bytes, rng: random.Random) -> tuple[Any, bytes]:
    pages = -(-len(data) // PAGE)
    to, other = rng.randrange(pages) * PAGE, rng.randrange(pages) * PAGE
    page = bytes(PAGE) if rng.random() < 0.5 else data[other : other + PAGE]
    return (to, other), data[:to] + page[: len(data) - to] + data[to + len(page) :]


def _forge(data: bytes, rng: random.Random) -> tuple[Any, bytes]:
    """Change a few bytes of one structure, and its checksum with them, wherever the end of the structure may be."""
    places = _checksummed(data)
    start, end = places[rng.randrange(len(places))]
    out = bytearray(data)
    done = []
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(start, end)
        out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256), out[at] ^ 1 << rng.randrange(8)])
        done.append((at - start, out[at]))
    out[end : end + 4] = lookup3(bytes(out[start:end])).to_bytes(4, "little")
    return (start, data[start : start + 4].decode("latin-1"), done), bytes(out)


_known: dict[int, list[tuple[int, int]]] = {}


def _checksummed(data: bytes) -> list[tuple[int, int]]:
    """Start and end of each structure that ends in a right checksum."""
    if len(data) not in _known:
        found = []
        for match in STRUCTURES.finditer(data):
            start = match.start()
            for end in range(start + 8, min(start + 3000, len(data) - 4)):
                if lookup3(data[start:end]) == int.from_bytes(data[end : end + 4], "little"):
                    found.append((start, end))
                    break
        found.append((0, 44))
        _known[len(data)] = found
    return _known[len(data)]


def _touch(tree: Group) -> None:
    """Read a lazy tree whole; arrays that claim more than any file here holds are sampled."""
    for _, node in tree.walk():
        if isinstance(node, Array) and node.data is not None:
            node.data[...] if node.data.nbytes < 1 << 28 else node.data[:1]


def outcome(path: Path, good: Group | None) -> str:
    """Gives "same", "different", or the name of the error; lazily read, the file must not do worse."""
    with contextlib.suppress(OSError):
        _touch(h5burst.read_tree(path, lazy=True))
    try:
        tree = h5burst.read_tree(path)
    except OSError as error:
        return f"refused: {type(error).__name__}"
    return "loaded" if good is None else "different" if differences(tree, good) else "same"


def _too_slow(*_: Any) -> None:
    raise TimeoutError("too slow")


def main(file: str, kind: str, count: int, seed: int) -> dict[str, Any]:
    data = Path(file).read_bytes()
    path = Path(file).with_suffix(".damaged")
    good = h5burst.read_tree(file) if kind != "forged" else None
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    slowest: tuple[float, str] = (0.0, "")
    for number, (what, content) in enumerate(damaged(data, kind, count, seed)):
        path.write_bytes(content)
        print(what, file=sys.stderr, flush=True)  # the last line tells what a crash died of
        started = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            outcomes[outcome(path, good)] += 1
            if number % VERBS_EVERY == 0:
                wrong += [f"{what}: {said}" for said in misbehaviours(path)]
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is wrong
            outcomes["wrong"] += 1
            wrong.append(f"{what}: {type(error).__name__}: {error}")
        signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - started, str(what)))
    path.unlink(missing_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"outcomes": outcomes, "wrong": wrong, "slowest_s": slowest[0], "slowest": slowest[1], "peak_bytes": peak}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
