"""The record of each commit, and the earlier states that it leads to. The truth is what h5py read at that time."""

from __future__ import annotations

import os
import random
import struct
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage
from h5burst._ext.h5parse import Source
from h5burst.format import history as form
from h5burst.model.errors import CorruptStructureError
from h5burst.read.history import opened
from reference.hdf5_tree import content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file.h5"
    units = Group({f"unit_{n:03d}": Group({"spikes": Array(np.arange(n + 3))}) for n in range(40)})
    log = Array(np.zeros(3), storage=Storage("gzip", chunks=(100,), maxshape=(None,)))
    h5burst.write_tree(found, Group({"units": units, "log": log}))
    return found


def edits(path: Path, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make random edits; the content of each state, by h5py at its time."""
    chance, truth = random.Random(seed), [content(path)]
    for number in range(1, count + 1):
        with h5burst.edit(path, f"edit {number}") as tx:
            unit = f"unit_{chance.randrange(40):03d}"
            tx.put(("units", unit, "features"), Group({"dsi": Array(np.array(chance.random()))}))
            tx.append("log", np.full(chance.randrange(60), number, float))
            tx.set_attributes(("units",), {"number": number})
            if number % 5 == 0:
                tx.remove(("units", f"unit_{chance.randrange(40):03d}", "spikes"))
        truth.append(content(path))
    return truth


def set_one(path: Path, value: int, **options: Any) -> None:
    with h5burst.edit(path, **options) as tx:
        tx.set_attributes((), {"value": value})


def numbers(path: Path, **options: Any) -> list[int]:
    return [commit.number for commit in h5burst.log(path, **options)]


def with_head(path: Path, head: bytes, target: Path) -> Path:
    """The file with other bytes at its beginning."""
    target.write_bytes(head + path.read_bytes()[len(head) :])
    return target


def test_each_state_is_found_and_is_whole(path: Path, tmp_path: Path) -> None:
    truth = edits(path, 70)
    with opened(str(path)) as found:
        states = [found.history.state(number) for number in range(71)]
        assert found.history.state(-1) == states[70]
        assert found.history.state(-71) == states[0]
        for bad in (71, -72):
            with pytest.raises(LookupError, match="no state"):
                found.history.state(bad)
        with pytest.raises(TypeError, match="bool"):
            found.history.state(True)
    for state, expected in zip(states, truth, strict=True):
        assert content(with_head(path, state.head, tmp_path / "then.h5")) == expected


def test_the_log_says_what_was_done(path: Path) -> None:
    before = datetime.now(timezone.utc)
    set_one(path, 1, message="first é \x1b[31m")
    set_one(path, 2)
    newest, first, saved = h5burst.log(path)
    assert (newest.number, newest.message, first.number, first.message) == (2, None, 1, "first é \x1b[31m")
    assert (saved.number, saved.message, saved.program, saved.way) == (0, None, "", "")
    assert (first.program, first.version, first.way) == ("h5burst", h5burst.__version__, "append")
    assert before - timedelta(microseconds=1) <= first.time <= newest.time <= datetime.now(timezone.utc)
    assert saved.time <= first.time
    assert "\x1b" not in str(first)
    assert saved.bytes_added + first.bytes_added + newest.bytes_added == h5burst.info(path).bytes - 40  # a mark


def test_a_message_has_its_limits(path: Path) -> None:
    set_one(path, 1, message="ä" * 2048)
    assert next(iter(h5burst.log(path))).message == "ä" * 2048
    with pytest.raises(ValueError, match="4096 bytes"):
        h5burst.edit(path, "ä" * 2048 + "a")
    with pytest.raises(TypeError, match="message"):
        h5burst.edit(path, 3)  # type: ignore[arg-type]
    set_one(path, 2, message="")
    assert next(commit.message for commit in h5burst.log(path)) == ""


def chain(count: int) -> tuple[bytes, dict[int, int]]:
    """Records as so many commits leave them, one after the other; the address of each."""
    data, places, last = bytearray(64), {}, None
    for number in range(1, count + 1):
        jumps = () if last is None else last.jumps_of_next()
        head = f"{number:048d}".encode()
        last = form.Record(number, len(data), number, 0, 0, -1, head, jumps, f"edit {number}", "", "", "")
        places[number] = len(data)
        data += form.encode_record(last)
    return bytes(data), places


def reading(data: bytes) -> tuple[Source, list[int]]:
    """The bytes as a file, and the places that were asked of it."""
    asked: list[int] = []

    def fill(offset: int, out: Any) -> None:
        asked.append(offset)
        memoryview(out)[:] = data[offset : offset + len(out)]

    return Source(-1, len(data), 0, 512, 1, fill), asked


def test_ten_thousand_commits_are_found_in_forty_reads() -> None:
    data, places = chain(10_000)
    chance, most = random.Random(0), 0
    for number in [*range(1, 10_001, 7), *(chance.randrange(1, 10_001) for _ in range(500)), 9999, 10_000]:
        source, asked = reading(data)
        assert form.read_head(source, places[10_000], number) == f"{number:048d}".encode()
        source, _ = reading(data)
        found = form.read_earlier(source, places[10_000], number)
        assert (found.number, found.message) == (number, f"edit {number}")
        most = max(most, len(asked))
    assert most <= 2 * 40  # of half a kilobyte: a record may lie across two


@pytest.mark.parametrize("broken", [1, 7, 64, 500, 512])
def test_a_damaged_record_is_named_by_whoever_needs_it(broken: int) -> None:
    data, places = chain(600)
    bad = bytearray(data)
    bad[places[broken] + 70] ^= 1
    source, _ = reading(bytes(bad))
    for number in range(1, 601):
        try:
            head = form.read_head(source, places[600], number)
        except CorruptStructureError as error:
            assert f"the record of commit {broken} " in str(error)  # noqa: PT017
            assert number <= broken
        else:
            assert head == f"{number:048d}".encode()
            assert number != broken


def test_states_are_named_by_time_and_by_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.time_ns()
    os.utime(path, ns=(start, start))
    at = iter([start + n * 10**9 for n in (10, 20, 15, 40, 50)])  # the clock is set back in between
    monkeypatch.setattr("h5burst.write.commit.time", SimpleNamespace(time_ns=lambda: next(at)))
    for value in range(4):
        set_one(path, value)
    commits = list(h5burst.log(path))
    times = [commit.time for commit in commits]
    assert times == sorted(times, reverse=True)

    def number_at(seconds: float) -> int:
        then = datetime.fromtimestamp(start / 1e9 + seconds, timezone.utc)
        with opened(str(path)) as found:
            by_text = found.history.state(then.replace(tzinfo=None).isoformat())
            assert found.history.state(then) == by_text
            return by_text.number

    assert [number_at(s) for s in (-99, 0, 9.9, 10.1, 19.9, 20.1, 39.9, 40.1, 1e6)] == [0, 0, 0, 1, 1, 3, 3, 4, 4]
    with opened(str(path)) as found:
        for commit in commits:
            assert found.history.state(commit).number == commit.number
            assert found.history.state(commit.time).number == commit.number
        with pytest.raises(ValueError, match="zone"):
            found.history.state(datetime(2026, 1, 1))
        with pytest.raises(ValueError, match="2026-05-04T12:30"):
            found.history.state("yesterday")
    other = path.with_name("other.h5")
    h5burst.save(other, {})
    set_one(other, 1)
    with opened(str(other)) as found, pytest.raises(LookupError, match="not one of its history"):
        found.history.state(commits[-2])


@pytest.mark.parametrize("changes", [True, False])
def test_another_program_ends_a_history(path: Path, changes: bool) -> None:
    for value in range(12):
        set_one(path, value)
    with h5py.File(path, "r+") as file:
        if changes:
            file["units"].attrs["by"] = "h5py"
    (only,) = h5burst.log(path)
    assert (only.number, only.note) == (13, "changed by another program after commit 12")
    with opened(str(path)) as found, pytest.raises(LookupError, match="changed by another program after commit 12"):
        found.history.state(3)
    set_one(path, 5, message="again")
    assert [(c.number, c.message, c.note) for c in h5burst.log(path)] == [(14, "again", None), (13, None, only.note)]


@pytest.mark.parametrize("mib", [0, 9])
def test_numbers_of_an_ended_history_name_no_other_states(path: Path, mib: int) -> None:
    edits(path, 3)
    with h5py.File(path, "r+") as file:
        file["by"] = np.full(mib << 20, 1, "u1")
    theirs, size = content(path), path.stat().st_size
    for at in (0, 3, 4):
        with pytest.raises(LookupError, match="changed by another program after commit 3"):
            h5burst.restore(path, at)
    assert path.stat().st_size == size
    truth = edits(path, 20, seed=1)
    assert numbers(path) == [*range(24, 3, -1)]
    assert [c.message for c in h5burst.log(path)][-2:] == ["edit 1", None]
    for at in (0, 3):
        with pytest.raises(LookupError, match=f"no state {at}: changed by another program after commit 3"):
            h5burst.restore(path, at)
    with opened(str(path)) as found:
        assert [found.history.state(k).number for k in (-1, -21, 4)] == [24, 4, 4]
        assert found.history.state("1971-01-01").number == 4
        with pytest.raises(LookupError, match="no state -22"):
            found.history.state(-22)
    for number in (10, 4):
        assert h5burst.restore(path, number).restored_from == number
        assert content(path) == truth[number - 4]
    assert truth[0] == theirs
    with pytest.raises(LookupError, match="the first state"):
        h5burst.undo(path)
    h5burst.compact(path, keep=2)
    assert numbers(path) == [*range(26, 3, -1)]
    assert h5burst.restore(path, 24).number == 27
    with pytest.raises(LookupError, match="no state 5: it was dropped by compacting"):
        h5burst.restore(path, 5)


def test_a_file_that_was_never_edited_has_nothing_to_restore(path: Path) -> None:
    with pytest.raises(LookupError, match="state 0 is what it shows, there is no earlier one: it was never edited"):
        h5burst.restore(path, 0)
    assert numbers(path) == [0]


def test_edits_without_a_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_one(path, 1)
    set_one(path, 2, history=False)
    assert [(c.number, c.note) for c in h5burst.log(path)] == [(2, "edited without a record after commit 1")]
    set_one(path, 3)
    assert numbers(path) == [3, 2]
    monkeypatch.setenv("H5BURST_HISTORY", "0")
    size = path.stat().st_size
    set_one(path, 4, message="a secret")
    assert numbers(path) == [4]
    assert b"a secret" not in path.read_bytes()
    assert path.stat().st_size >= size


def test_files_that_are_edited_as_copies_have_no_history_and_say_why(path: Path) -> None:
    set_one(path, 1)
    with h5py.File(path, "r+") as file:
        file.attrs["reference"] = file["units"].ref
    set_one(path, 2)
    log = h5burst.log(path)
    assert list(log) == []
    assert log.reason == "edited as a copy: references between its objects"
    assert h5burst.verify(path, deep=True) == []


def test_saves_and_copies_carry_no_history(path: Path, tmp_path: Path) -> None:
    set_one(path, 1, message="a secret")
    h5burst.repack(path, tmp_path / "repacked.h5")
    h5burst.write_tree(tmp_path / "saved.h5", h5burst.read_tree(path))
    h5burst.compact(path)
    for file in (path, tmp_path / "repacked.h5", tmp_path / "saved.h5"):
        assert numbers(file) == [0]
        assert b"a secret" not in file.read_bytes()


def test_a_file_for_older_programs_that_was_copied_without_its_times(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file["a"] = np.arange(5)
    for value in range(3):
        set_one(path, value)
    assert numbers(path) == [3, 2, 1, 0]
    os.utime(path, (1, 1))
    (only,) = h5burst.log(path)
    assert only.note is not None
    assert only.note.startswith("copied without its times, or written by a program that was killed: ")
    assert numbers(path, trust=True) == [3, 2, 1, 0]


@pytest.mark.parametrize("fineness_ns", [100, 10**7, 10**9, 2 * 10**9])
def test_a_file_for_older_programs_where_times_are_less_fine(path: Path, fineness_ns: int) -> None:
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file["a"] = np.arange(5)
    for value in range(3):
        set_one(path, value)
        kept = path.stat().st_mtime_ns // fineness_ns * fineness_ns
        os.utime(path, ns=(kept, kept))
    assert numbers(path) == [3, 2, 1, 0]
    os.utime(path, ns=(kept + 3 * 10**9, kept + 3 * 10**9))
    assert numbers(path) == [4]


@pytest.mark.parametrize("libver", [("earliest", "v108"), "latest"])
def test_an_edit_that_fails_leaves_the_history(path: Path, monkeypatch: pytest.MonkeyPatch, libver: Any) -> None:
    with h5py.File(path, "w", libver=libver) as file:
        file["a"] = np.arange(5)
    set_one(path, 1)
    with monkeypatch.context() as patched:
        patched.setattr("h5burst.write.commit.flush_data", lambda descriptor: os.truncate("/no/such/file", 0))
        with pytest.raises(FileNotFoundError):
            set_one(path, 2)
    assert numbers(path) == [1, 0]
    set_one(path, 3)
    assert numbers(path) == [2, 1, 0]


@pytest.mark.parametrize("libver", [("earliest", "v108"), ("earliest", "latest"), "latest"])
def test_states_of_files_of_other_programs(path: Path, tmp_path: Path, libver: Any) -> None:
    with h5py.File(path, "w", libver=libver, userblock_size=1024) as file:
        for number in range(40):
            file[f"units/unit_{number:03d}/spikes"] = np.arange(number + 3)
        file.create_dataset("log", data=np.zeros(3), chunks=(100,), maxshape=(None,), compression="gzip")
    truth = [content(path)]
    for value in range(5):
        with h5burst.edit(path) as tx:
            tx.put(("units", "unit_001", "x"), Array(np.arange(value)))
            assert tx.way == "append"
        truth.append(content(path))
    data = path.read_bytes()
    for number, expected in enumerate(truth):
        with opened(str(path)) as found:
            head = found.history.state(number).head
        (tmp_path / "then.h5").write_bytes(data[:1024] + head + data[1024 + len(head) :])
        assert content(tmp_path / "then.h5") == expected


def newest_record(path: Path) -> tuple[int, form.Record]:
    """The last record's place in the file, and itself."""
    with opened(str(path)) as found:
        assert found.history.newest is not None
        return found.history.newest.address, found.history.newest


def overwrite(path: Path, place: int, data: bytes) -> None:
    with open(path, "rb+") as stream:
        stream.seek(place)
        stream.write(data)


def test_a_damaged_record_is_named_and_the_newest_state_stays_readable(path: Path) -> None:
    truth = edits(path, 12)
    with opened(str(path)) as found:
        record = found.history.record(5)
    assert record is not None
    overwrite(path, record.address + 50, b"\xff\xff")
    with pytest.raises(h5burst.CorruptFileError, match=f"record of commit 5 at address {record.address}"):
        list(h5burst.log(path))
    with opened(str(path)) as found:
        with pytest.raises(h5burst.CorruptFileError, match="commit 5"):
            found.history.state(4)
        assert found.history.state(9).number == 9
    assert content(path) == truth[-1]
    assert h5burst.verify(path) == []
    place, _ = newest_record(path)
    overwrite(path, place + 50, b"\xff\xff")
    (only,) = h5burst.log(path)
    assert only.note is not None
    assert "its history is damaged" in only.note
    set_one(path, 3)
    assert numbers(path) == [13, 12]


def what_is_wrong(path: Path) -> str:
    """What a file with a damaged history says: of its newest record, of the state before it, of its commits."""
    try:
        with opened(str(path)) as found:
            if not found.history.note:
                found.history.state(2)
                list(found.history.commits())
            return found.history.note
    except h5burst.CorruptFileError as error:
        return str(error)


def test_records_that_lie_are_errors(path: Path) -> None:
    """Records with a good checksum, whose content is hostile."""
    for value in range(3):
        set_one(path, value)
    place, record = newest_record(path)
    bad_head = record.head[:28] + struct.pack("<Q", 1 << 40) + record.head[36:]
    from h5burst._ext.h5parse import lookup3

    bad_head = bad_head[:44] + lookup3(bad_head[:44]).to_bytes(4, "little")
    for change, message in (
        ({"head": b"\0" * 48}, "holds no superblock"),
        ({"head": bad_head}, "is outside the file"),
        ({"jumps": (form.Jump(3, place), *record.jumps[1:])}, "not before it"),
        ({"jumps": (form.Jump(2, 600), *record.jumps[1:])}, "commit 2 at address 600"),
        ({"jumps": (form.Jump(2, 1 << 63), *record.jumps[1:])}, "not before it"),
        ({"address": place + 1}, "that of commit 3"),
    ):
        overwrite(path, place, form.encode_record(record._replace(**change)))
        assert message in what_is_wrong(path)
        assert content(path)["/"]
    overwrite(path, place, form.encode_record(record))
    assert numbers(path) == [3, 2, 1, 0]


def test_a_trailer_of_a_later_version_is_left_alone(path: Path) -> None:
    set_one(path, 1)
    with opened(str(path)) as found:
        at = found.history.used_bytes - form.trailer_length()
    overwrite(path, at + 8, b"\x07")
    (only,) = h5burst.log(path)
    assert only.number == 2
    set_one(path, 2)
    assert numbers(path) == [3, 2]
    assert h5burst.verify(path) == []


def test_compacting_keeps_so_many_states(path: Path, tmp_path: Path) -> None:
    truth = edits(path, 30)
    assert h5burst.compact(path, keep=4) > 0
    assert numbers(path) == list(range(30, -1, -1))
    notes = {commit.number: commit.note for commit in h5burst.log(path)}
    assert [number for number in notes if notes[number] is None] == [30, 29, 28, 27, 26]
    assert notes[25] is not None
    assert notes[25].startswith("compacted")
    set_one(path, 1, message="after")
    for number in range(26, 31):
        with opened(str(path)) as found:
            head = found.history.state(number).head
        assert content(with_head(path, head, tmp_path / "then.h5")) == truth[number]
    with opened(str(path)) as found:
        assert found.history.oldest == 26
        with pytest.raises(LookupError, match="dropped by compacting"):
            found.history.state(25)
    assert h5burst.verify(path, deep=True) == []
    found_space = h5burst.info(path)
    assert found_space.dead_bytes == 0
    assert h5burst.compact(path) > 0
    assert numbers(path) == [0]
    with pytest.raises(ValueError, match="from 0 on"):
        h5burst.compact(path, keep=-1)
    with pytest.raises(TypeError):
        h5burst.compact(path, keep=True)


def test_compacting_with_states_of_a_file_for_older_programs(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file["a"] = np.arange(50_000)
        file["b"] = file["a"]  # a hard link
    truth = [content(path)]
    for value in range(3):
        with h5burst.edit(path) as tx:
            tx.put("c", Array(np.arange(value + 10_000)))
        truth.append(content(path))
    h5burst.compact(path, keep=2)
    assert numbers(path) == [3, 2, 1, 0]
    for number in (1, 2, 3):
        with opened(str(path)) as found:
            head = found.history.state(number).head
        assert content(with_head(path, head, tmp_path / "then.h5")) == truth[number]
    with h5py.File(path) as file:
        assert h5py.h5o.get_info(file["a"].id).rc == 2


def test_least_dead_leaves_out_what_is_kept(path: Path) -> None:
    for value in range(3):
        with h5burst.edit(path) as tx:
            tx.put("large", Array(np.full(100_000, value)))
    assert h5burst.compact(path, 3, min_dead=0.05) == 0
    assert h5burst.compact(path, 2, min_dead=0.5) == 0
    assert h5burst.compact(path, 0, min_dead=0.5) > 1_500_000


def test_waiting_for_a_writer(path: Path) -> None:
    with h5py.File(path, "r+"):
        started = time.monotonic()
        with pytest.raises(BlockingIOError):
            h5burst.edit(path, wait=0.2)
        assert time.monotonic() - started >= 0.2
        with pytest.raises(BlockingIOError):
            h5burst.edit(path)
    for bad, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(error, match="wait"):
            h5burst.edit(path, wait=bad)  # type: ignore[arg-type]


def test_who_waits_gets_the_file_as_the_other_leaves_it(path: Path) -> None:
    import threading

    first = h5burst.edit(path)
    done: list[int] = []

    def second() -> None:
        with h5burst.edit(path, wait=60) as tx:
            done.append(int(tx.tree().attrs["value"]))
            tx.set_attributes((), {"value": 2})

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.1)
    with first:
        first.set_attributes((), {"value": 1})
    thread.join()
    assert done == [1]
    assert numbers(path) == [2, 1, 0]


def test_the_reserve_is_a_hole_and_in_no_figure(path: Path) -> None:
    for value in range(40):
        set_one(path, value)
    size, info = path.stat().st_size, h5burst.info(path)
    assert 1 << 16 <= info.reserve_bytes <= 1 << 20
    assert info.bytes + info.reserve_bytes == size
    assert not path.read_bytes()[info.bytes :].strip(b"\0")
    with h5burst.edit(path) as tx:
        tx.put("large", Array(np.random.default_rng(0).random(1 << 19)))
    assert h5burst.info(path).reserve_bytes == 1 << 20
