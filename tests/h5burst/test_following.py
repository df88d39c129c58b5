"""Commits of others as they come."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, cli, console


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file.h5"
    h5burst.save(found, {"a": np.arange(3)})
    return found


def commit(path: Path, number: int) -> None:
    with h5burst.edit(path, f"edit {number}", wait=60) as tx:
        tx.put(f"b{number}", Array(np.arange(number)))


@pytest.mark.parametrize("count", [20, 200])
@pytest.mark.parametrize("version", [0, 2, 3])
def test_every_commit_is_told_once_and_in_order(path: Path, version: int, count: int) -> None:
    if version < 3:
        with h5py.File(path, "w", libver="earliest" if version == 0 else ("v108", "v108")) as file:
            file["a"] = np.arange(3)
    writer = threading.Thread(target=lambda: [commit(path, number) for number in range(1, count + 1)])
    writer.start()
    found: list[tuple[int, str | None, tuple[str, ...] | None]] = []
    for item in h5burst.follow(path, since=0, timeout=60):
        found.append((item.commit.number, item.commit.message, item.paths))
        if len(found) == count:
            break
    writer.join()
    assert found == [(number, f"edit {number}", (f"/b{number}",)) for number in range(1, count + 1)]


def test_who_comes_late_gets_all_since(path: Path) -> None:
    for number in range(1, 6):
        commit(path, number)
    items = list(h5burst.follow(path, since=2, timeout=0))
    assert [(item.commit.number, item.paths) for item in items] == [(n, (f"/b{n}",)) for n in (3, 4, 5)]
    assert str(items[0]).endswith("edit 3: /b3")
    assert list(h5burst.follow(path, timeout=0)) == []


@pytest.mark.parametrize("how", ["replaced", "compacted", "changed"])
def test_what_cannot_be_told_is_one_item(path: Path, how: str) -> None:
    commit(path, 1)
    watch = h5burst.follow(path, since=0, timeout=5)
    assert next(watch).commit.number == 1
    if how == "replaced":
        h5burst.save(path, {"other": 1}, overwrite=True)
    elif how == "compacted":
        h5burst.compact(path)
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["by"] = "h5py"
    item = next(watch)
    assert (item.paths, item.commit.number) == (None, 2 if how == "changed" else 0)
    commit(path, 2)
    assert next(watch).paths == ("/b2",)


def test_a_file_that_is_not_there_yet_is_waited_for(path: Path, tmp_path: Path) -> None:
    os.rename(path, tmp_path / "later.h5")
    threading.Timer(0.2, lambda: os.rename(tmp_path / "later.h5", path)).start()
    threading.Timer(0.6, lambda: commit(path, 1)).start()
    assert next(h5burst.follow(path, since=0, timeout=30)).commit.message == "edit 1"


def said(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> str:
    assert console.run(cli.app, [str(argument) for argument in arguments]) == code
    return capsys.readouterr().out


def test_the_commands(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        commit(path, number)
    log = said(capsys, "log", path, "--paths")
    assert [line.split()[0] for line in log.splitlines()] == ["2", "added", "1", "added", "0"]
    found = json.loads(said(capsys, "log", path, "--json"))
    assert [entry["message"] for entry in found["commits"]] == ["edit 2", "edit 1", None]
    assert "/b2" in said(capsys, "follow", path, "--since", 1, "--timeout", 0)
    assert "b1" not in said(capsys, "ls", path, "--at", 0)
    assert "3 differences" not in said(capsys, "diff", path, path, "--state", "1,2", code=1)
    assert "OK" in said(capsys, "verify", path, "--at", 1)
    assert said(capsys, "cat", f"{path}::/b1", "--at", 1).split() == ["0"]
    assert str(path) in said(capsys, "info", path, "--state", 0)
    said(capsys, "restore", path, "--at", 0)
    assert sorted(h5burst.load(path)) == ["a"]
    said(capsys, "undo", path, code=1)
    said(capsys, "restore", path, "--at", 2)
    said(capsys, "undo", path)
    assert sorted(h5burst.load(path)) == ["a", "b1"]
    said(capsys, "restore", path, "--at", 77, code=1)


def test_a_message_cannot_command_a_terminal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5burst.edit(path, "\x1b[2J\nnot a line of its own") as tx:
        tx.set_attributes((), {"x": 1})
    text = said(capsys, "log", path)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("since", [None, 1])
def test_a_first_look_may_fall_into_a_commit(path: Path, since: int | None) -> None:
    """Of a file with a superblock of version 2: there the superblock is new before the time of change is."""
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        file["a"] = np.arange(3)
    commit(path, 1)
    written_ns = path.stat().st_mtime_ns

    def go_on() -> None:
        os.utime(path, ns=(written_ns, written_ns))
        commit(path, 2)

    os.utime(path, ns=(written_ns + 5000, written_ns + 5000))
    threading.Timer(0.2, go_on).start()
    item = next(h5burst.follow(path, since=since, timeout=30))
    assert (item.commit.number, item.paths) == (2, ("/b2",))


def test_a_file_that_was_copied_without_its_times_is_followed(path: Path) -> None:
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        file["a"] = np.arange(3)
    commit(path, 1)
    os.utime(path)
    threading.Timer(1.5, lambda: commit(path, 2)).start()
    item = next(h5burst.follow(path, timeout=30))
    assert (item.commit.number, item.paths) == (3, ("/b2",))  # 2: what it was copied as
