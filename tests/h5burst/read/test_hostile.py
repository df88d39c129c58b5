"""Damaged and malicious files end in a clear error or the right data: never a crash, a hang, or all memory.

By default samples run; `H5BURST_WHOLE=1 pytest tests/h5burst/read/test_hostile.py` runs all of it.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst._ext.h5parse import lookup3
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import MAX_DEPTH, Array, Group, Reference, Storage
from h5burst.read.libhdf5_worker import client, libhdf5, worker
from reference.hdf5_reading import differences, read_plainly
from support.faulty import library

HERE = Path(__file__).parent
WHOLE = os.environ.get("H5BURST_WHOLE") == "1"
MIN_REFUSED = 0.98  # of the bit flips that change data

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memory is limited with POSIX's setrlimit")


def session_like() -> Group:
    """A small tree in the manner of a recording: many short arrays, some chunked ones, attributes, text."""
    rng = np.random.default_rng(5)
    units = {}
    for unit in range(6):
        times = np.sort(rng.integers(0, 1 << 30, 9000)).astype(np.uint64)
        trials = Group({f"{trial}": Array(times[trial::3].astype(np.int64)) for trial in range(3)})
        movies = {f"movie {k}": Group({"all": Array(times[k::7]), "trials": trials}, {"n": 3}) for k in range(4)}
        units[f"unit_{unit}"] = Group(
            {"times": Array(times, {"unit": "sample"}), "shape": Array(rng.normal(size=80)), "sections": Group(movies)},
            {"row": unit, "created": "2024-01-01T00:00:00"},
        )
    notes = {f"key {k}": Array(np.array([f"Wert {k}"], dtype=object)) for k in range(40)}
    image = Array(rng.integers(0, 9, (300, 400)), storage=Storage("gzip"))
    return Group({"units": Group(units), "notes": Group(notes), "image": image}, {"id": "p01"})


def write_with_libhdf5(path: Path, libver: Any) -> None:
    """Every storage, link and index that libhdf5 has."""
    rng = np.random.default_rng(0)
    storages: dict[str, dict[str, Any]] = {
        "fixed": {"chunks": (3,)},
        "fixed filtered": {"chunks": (3,), "compression": "gzip", "shuffle": True, "fletcher32": True},
        "growing": {"chunks": (3,), "maxshape": (None,)},
        "growing filtered": {"chunks": (1,), "maxshape": (None,), "compression": 4},
        "scaled": {"chunks": (10,), "scaleoffset": 0},
    }
    with h5py.File(path, "w", libver=libver) as file:
        for name, options in storages.items():
            file.create_dataset(name, data=rng.integers(0, 9, 200), **options)
        grown = {"chunks": (3, 3), "maxshape": (None, None), "compression": "gzip"}
        file.create_dataset("tree", data=rng.integers(0, 9, (20, 20)), **grown)
        file.create_dataset("one", data=rng.integers(0, 9, (20, 20)), chunks=(20, 20), compression="gzip")
        file.create_dataset("filled", (30,), "i4", chunks=(4,), fillvalue=7, maxshape=(None,))[5] = 1
        file["numbers"], file["texts"], file["complex"], file["text"] = (
            np.arange(20),
            ["x", "yy"],
            np.arange(4) * 1j,
            "é",
        )
        file["record"] = np.array([(1, 2.0, b"a")], [("a", "i4"), ("b", "f8"), ("c", "S3")])
        file["named"] = np.array([1], h5py.enum_dtype({"A": 1}))
        dense, ordered = file.create_group("dense"), file.create_group("ordered", track_order=True)
        for number in range(60):
            dense[f"link {number}"] = number
            ordered.attrs[f"attribute {number}"] = f"text {number}"
        dense["soft"], dense["external"] = h5py.SoftLink("/numbers"), h5py.ExternalLink("none.h5", "/")
        file["hard"], file["type"] = file["numbers"], np.dtype("i4")
        file.create_dataset("committed", (3,), file["type"])
        file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))[0] = [1, 2]


def report(file: Path, kind: str, sample: int, whole: int, seed: int = 1) -> dict[str, Any]:
    """What came of loading damaged copies of a file, in a process of its own."""
    count = whole if WHOLE else sample
    command = [sys.executable, str(HERE / "hostile_files.py"), str(file), kind, str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"died of {done.stderr.splitlines()[-1:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["wrong"] == []
    print(f"{kind}, {count or 'all'}: {found['outcomes']}")
    return found


# ---------------------------------------------------------------- damage


def test_bit_flips_are_refused(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", session_like())
    outcomes = report(tmp_path / "a.h5", "flips", 200, 2000)["outcomes"]
    changed = sum(count for outcome, count in outcomes.items() if outcome != "same")
    assert outcomes.get("different", 0) <= (1 - MIN_REFUSED) * changed
    assert changed > 0.9 * sum(outcomes.values())


def test_flips_in_text_are_refused(tmp_path: Path) -> None:
    words = np.array([f"Größe {i}" for i in range(3000)], dtype=object)
    h5burst.write_tree(tmp_path / "a.h5", Group({"words": Array(words)}, {"title": "naïve"}))
    outcomes = report(tmp_path / "a.h5", "flips", 200, 2000)["outcomes"]
    assert "different" not in outcomes


@pytest.mark.parametrize("kind", ["truncations", "blanks"])
def test_lost_ends_and_lost_pages_are_refused(kind: str, tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", session_like())
    outcomes = report(tmp_path / "a.h5", kind, 60, 0 if kind == "truncations" else 2000)["outcomes"]
    assert "different" not in outcomes


@pytest.mark.parametrize("libver", ["ours", "v110", "latest"])
def test_forged_checksums_do_no_harm(libver: str, tmp_path: Path) -> None:
    if libver == "ours":
        h5burst.write_tree(tmp_path / "a.h5", session_like())
    else:
        write_with_libhdf5(tmp_path / "a.h5", ("v110", "v110") if libver == "v110" else libver)
    report(tmp_path / "a.h5", "forged", 100, 5000)


@pytest.mark.parametrize("kind", ["flips", "blanks", "truncations"])
def test_damaged_files_of_the_old_format_do_no_harm(kind: str, tmp_path: Path) -> None:
    write_with_libhdf5(tmp_path / "a.h5", "earliest")
    report(tmp_path / "a.h5", kind, 60, 0 if kind == "truncations" else 5000)


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" * 1000, b"PK\3\4" + bytes(9000), bytes(1 << 20)]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_no_hdf5_file_is_refused(content: bytes, lazy: bool, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"a\.h5"):
        h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)


def test_errors_name_the_object(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", session_like())
    data = bytearray((tmp_path / "a.h5").read_bytes())
    times = np.asarray(session_like()["units/unit_3/times"].data).tobytes()  # type: ignore[union-attr]
    data[data.index(times[:64])] ^= 1
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"a\.h5: /units/unit_3/times: the .*checksum"):
        h5burst.read_tree(tmp_path / "a.h5")
    tree = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
    assert tree["units/unit_2/times"].data[:3].tolist() == session_like()["units/unit_2/times"].data[:3].tolist()  # type: ignore[union-attr]
    with pytest.raises(CorruptFileError, match=r"/units/unit_3/times: the .*checksum"):
        tree["units/unit_3/times"].data[:3]  # type: ignore[union-attr]


# ---------------------------------------------------------------- honest edits


def test_honest_edits_of_text_raise_no_alarm(tmp_path: Path) -> None:
    rng = random.Random(3)
    words = np.array([f"Wort {i}" * (i % 5) for i in range(300)], dtype=object)
    tree = Group({"words": Array(words), "label": Array(np.array("x", dtype=object))}, {"title": "first"})
    for round_ in range(12):
        path = tmp_path / f"{round_}.h5"
        h5burst.write_tree(path, tree)
        with h5py.File(path, "r+") as file:
            for _ in range(rng.randrange(1, 40)):
                place = rng.randrange(300)
                file["words"][place] = file["words"].asstr()[rng.randrange(300)] + rng.choice(
                    ["", "!", "längerer Text " * 40]
                )
            file.attrs["title"] = "second" * rng.randrange(1, 2000)
            file["more"] = ["new", "words"] * rng.randrange(1, 500)
            if rng.random() < 0.5:
                del file["label"]
        assert differences(h5burst.read_tree(path), read_plainly(path)) == []


# ---------------------------------------------------------------- circles, depth, and bombs


@pytest.mark.parametrize("kind", ["hard", "hard to the root", "soft", "external"])
def test_circles_of_links_end_in_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        group = file.create_group("outer/inner")
        group["back"] = {
            "hard": lambda: file["outer"],
            "hard to the root": lambda: file["/"],
            "soft": lambda: h5py.SoftLink("/outer"),
            "external": lambda: h5py.ExternalLink("a.h5", "/outer"),
        }[kind]()
    with pytest.raises(CorruptFileError, match="circle"):
        h5burst.read_tree(path)
    nodes = dict(h5burst.read_tree(path, lazy=True).walk())
    back = nodes[max(nodes, key=len)]  # an external link is followed once before it is back where it began
    with pytest.raises(CorruptFileError, match="circle"):
        _ = back.attrs


@pytest.mark.parametrize("libver", [("v110", "v110"), "earliest"])
def test_many_paths_to_one_group_do_not_multiply_it(libver: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        group = file
        for _ in range(60):
            group = group.create_group("left")
            group.parent["right"] = group
    tree = h5burst.read_tree(path)
    assert tree["left/right/left"] is tree["right/left/right"]


@pytest.mark.parametrize("depth", [1, 100, MAX_DEPTH, MAX_DEPTH + 1, 5000])
def test_one_limit_of_depth_for_all_ways_to_read(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file["beside"] = 3
        group = file
        for _ in range(depth):
            group = group.create_group("g")
        group["data"] = 5

    def read(lazy: bool) -> None:
        if depth > MAX_DEPTH and not lazy:
            with pytest.raises(CorruptFileError, match="more than 128 groups inside each other"):
                h5burst.read_tree(path)
            return
        tree = h5burst.read_tree(path, lazy=lazy)
        assert tree["beside"].data[...] == 3
        node: Any = tree
        for _ in range(min(depth, MAX_DEPTH)):
            node = node.children["g"]
        if depth > MAX_DEPTH:
            with pytest.raises(CorruptFileError, match="more than 128 groups inside each other"):
                _ = node.children["g"].children
        else:
            assert node.children["data"].data[...] == 5

    read(lazy=False)
    read(lazy=True)
    with h5py.File(path, "r+"):  # libhdf5 now reads it for us
        read(lazy=False)
    if depth <= MAX_DEPTH:
        h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(path))


@pytest.mark.parametrize("shape", [(1 << 60,), (1 << 30, 1 << 30), (1 << 40, 4)])
@pytest.mark.parametrize("fill", [None, 7])
def test_absurd_shapes_are_refused_eagerly_and_read_lazily(shape: tuple[int, ...], fill: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset(
            "huge", shape, "f8", chunks=(4,) * len(shape), maxshape=(None,) * len(shape), fillvalue=fill
        )
        file.create_dataset("contiguous", shape, "f8", fillvalue=fill)
    with pytest.raises(CorruptFileError, match=r"huge|contiguous"):
        h5burst.read_tree(path)
    for name in ("huge", "contiguous"):
        node = h5burst.read_tree(path, lazy=True)[name]
        assert node.data[:1, ...].ravel()[0] == (fill or 0) if len(shape) == 1 else node.data[:1, :1] == (fill or 0)  # type: ignore[union-attr]


def forge(path: Path, start: int, end: int, changes: dict[int, bytes]) -> None:
    """Change bytes of a structure that is in [start, end) of a file, and make its checksum right."""
    data = bytearray(path.read_bytes())
    for at, content in changes.items():
        data[start + at : start + at + len(content)] = content
    data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
    path.write_bytes(data)


def structure(path: Path, signature: bytes, number: int = 0) -> tuple[int, int]:
    """Start and end (without the checksum) of a structure in a file."""
    data = path.read_bytes()
    start = -1
    for _ in range(number + 1):
        start = data.index(signature, start + 1)
    end = next(
        e
        for e in range(start + 8, len(data) - 3)
        if lookup3(data[start:e]) == int.from_bytes(data[e : e + 4], "little")
    )
    return start, end


def test_chunks_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("data", data=np.zeros((500, 10_000), "u1"), chunks=(1, 10_000), compression=9)
    start, end = structure(path, b"FADB")
    width = (end - start - 14) // 500
    first = path.read_bytes()[start + 14 : start + 14 + width]
    large = min(path.stat().st_size - int.from_bytes(first[:8], "little"), 256 ** (width - 12) - 1)
    forge(path, start, end, {14: (first[:8] + large.to_bytes(width - 12, "little") + first[-4:]) * 500})
    with pytest.raises(CorruptFileError, match="overlap"):
        h5burst.read_tree(path)


def test_text_that_refers_to_one_object_for_ever_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    words = np.array(["x" * 1_000_000] + ["y"] * 3000, dtype=object)
    h5burst.write_tree(path, Group({"words": Array(words)}))
    data = path.read_bytes()
    start, end = next((s, e) for s, e in (structure(path, b"OHDR", n) for n in range(2)) if e - s > 40_000)
    reference = data.index((1_000_000).to_bytes(4, "little"), start)
    forge(path, start, end, {reference - start: data[reference : reference + 16] * 3001})
    with pytest.raises(CorruptFileError, match="two references lead to one text"):
        h5burst.read_tree(path)
    path.write_bytes(path.read_bytes().replace(b"GCOL\1sum", b"GCOL\1" + bytes(3)))  # as others write it
    with pytest.raises(CorruptFileError, match="its texts are longer together than"):
        h5burst.read_tree(path)


def test_datasets_that_share_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file["big"] = np.arange(100_000)
        file["small"] = np.arange(3)
        big, small = (file[name].id.get_offset().to_bytes(8, "little") for name in ("big", "small"))
    start, end = structure(path, b"OHDR", 2)
    header = path.read_bytes()[start:end]
    for old, new in ((3, 100_000), (24, 800_000)):
        header = header.replace(old.to_bytes(8, "little"), new.to_bytes(8, "little"))
    forge(path, start, end, {0: header.replace(small, big)})
    with pytest.raises(CorruptFileError, match="/small: the datasets claim more storage"):
        h5burst.read_tree(path)


# ---------------------------------------------------------------- libhdf5 behind its guard


READY = (
    "import os, sys, time; from h5burst.read.libhdf5_worker import protocol; "
    "out = sys.stdout.buffer; protocol.send(out, {'ready': 1}); "
)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("os.abort()", "crashed"),
        ("os._exit(0)", "crashed"),
        ("out.write(bytes(range(256)) * 9)", "crashed"),
        ("time.sleep(60)", "took longer"),
    ],
)
def test_a_child_that_dies_or_hangs_is_an_error(
    end: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group())
    monkeypatch.setattr(client, "_MIN_S", 2.0)
    command = [sys.executable, "-c", f"{READY}sys.stdin.buffer.read(20); {end}"]
    monkeypatch.setattr(client, "_child", client.GuardedProcess(command))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(2):
            with pytest.raises(CorruptFileError, match=f"/x: libhdf5 {message}"):
                client.read("node", str(path), "/x", lazy=False)
    assert [str(warning.message) for warning in said] == []  # no pipe is left to the garbage collector


def test_a_child_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group())
    monkeypatch.setattr(client, "_child", client.GuardedProcess([sys.executable, "-c", "pass"]))
    with pytest.raises(OSError, match="does not start"):
        client.read("node", str(tmp_path / "a.h5"), "/x", lazy=False)


def test_libhdf5_is_not_let_at_a_file_in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        ragged = file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        ragged[0], ragged[1] = [1, 2], []
        ragged.attrs["long"] = np.longdouble(0.1)
        file["long"] = np.array([1.5], np.longdouble)
        text = np.dtype([("name", h5py.string_dtype()), ("n", "i4"), ("at", h5py.ref_dtype)])
        file.create_dataset("record", (1,), text)[0] = ("é", 5, file["long"].ref)
        file["scaled"] = h5py.SoftLink("/chunks")
        file.create_dataset("chunks", data=np.arange(1000), chunks=(10,), scaleoffset=0)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("libhdf5 opened the file in this process")

    monkeypatch.setattr(libhdf5, "open_file", refuse)
    for lazy in (False, True):
        tree: Any = h5burst.read_tree(path, lazy=lazy)
        assert [row.tolist() for row in tree["ragged"].data[...]] == [[1, 2], []]
        assert tree["ragged"].attrs["long"] == np.longdouble(0.1)
        assert tree["long"].data[...].dtype == np.longdouble
        assert tree["long"].data[...].tolist() == [1.5]
        assert tree["record"].data[0].tolist() == ("é", 5, Reference("/long"))
        assert tree["scaled"].data[30:33].tolist() == [30, 31, 32]


@pytest.mark.parametrize("do", ["describe", "problems"])
def test_the_time_for_an_answer_grows_with_the_objects_that_it_tells_of(
    do: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound file of 50 000 small arrays was "damaged": `info` of it takes more time than its few bytes allow."""
    resource = pytest.importorskip("resource")
    h5burst.save(tmp_path / "a.h5", {f"{number}": np.arange(3) for number in range(300)})
    told: list[int] = []
    request = {"do": do, "path": str(tmp_path / "a.h5"), "name": "/", "options": {"skip": []}}
    worker._answer(request, io.BytesIO(), told.append)
    assert told[:2] == [0, 256]
    seconds: list[int] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seconds.append(limits[0]))
    worker._time_limit(str(tmp_path / "a.h5"))(50_000)
    assert seconds[1] - seconds[0] == 100


def test_a_header_without_messages_copies_nothing_from_nowhere(tmp_path: Path) -> None:
    """Of version 1, and the first that is read: there is no room for messages yet."""
    with h5py.File(tmp_path / "file.h5", "w") as file:
        root = h5py.h5o.get_info(file.id).addr
    data = bytearray((tmp_path / "file.h5").read_bytes())
    assert data[root] == 1
    data[root + 2 : root + 4] = bytes(2)  # number of messages
    data[root + 8 : root + 12] = bytes(4)  # their bytes
    (tmp_path / "file.h5").write_bytes(data)
    code = f"import h5burst; print(h5burst.verify({str(tmp_path / 'file.h5')!r}))"
    environment = {**os.environ, "LD_PRELOAD": str(library(Path(__file__).with_name("null_copies.c")))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout
