"""Long runs about the history of files; a sample of each is in the tests.

    python history_runs.py DIRECTORY kills COUNT           a process that edits, restores and compacts, killed at random
    python history_runs.py DIRECTORY opens COUNT           opened by h5py and by us while commits are made
    python history_runs.py DIRECTORY puts PROCESSES COUNT  so many puts each into one file, waiting for each other

Prints as JSON what was counted, and what was wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import h5burst
from h5burst import Array, Group

# ---------------------------------------------------------------- kills

FORGOTTEN = "forgotten"


def tree_of(content: int) -> Group:
    """What a state holds, told from one number."""
    many = Group({f"n{number}": Array(np.array(content + number)) for number in range(30)})
    return Group({"data": Array(np.full(500 + content % 300, content)), "many": many}, {"content": content})


def is_content(file: h5py.File, content: int) -> bool:
    return (
        int(file.attrs["content"]) == content
        and bool((file["data"][()] == content).all())
        and file["data"].shape == (500 + content % 300,)
        and [int(file[f"many/n{number}"][()]) for number in range(30)] == [content + number for number in range(30)]
    )


def change(path: Path, content: int, chance: random.Random, tell: Callable[[str], None]) -> None:
    """An edit of one or several commits, a restore or a compaction; each commit's message says what its state holds.

    tell: called ahead of a compaction that keeps no history, after which numbers begin at 0 again.
    """
    what = chance.random()
    commits = [commit for commit in h5burst.log(path) if commit.message] if what > 0.6 else []
    if what > 0.9:
        keep = chance.randrange(4)
        if not keep:
            tell(FORGOTTEN)
        h5burst.compact(path, keep)
    elif what > 0.6 and commits:
        chosen = chance.choice(commits)
        with contextlib.suppress(LookupError):  # that state was dropped by compacting
            h5burst.restore(path, chosen.number, chosen.message)
    else:
        with h5burst.edit(path, f"content {content}") as tx:
            for further in range(1000 * chance.randrange(-3, 1), 0, 1000):  # commits within the transaction
                put_all(tx, content + further)
                tx.commit(f"content {content + further}")
            put_all(tx, content)


def put_all(tx: h5burst.Transaction, content: int) -> None:
    tree = tree_of(content)
    for name, node in tree.children.items():
        tx.put(name, node)
    tx.set_attributes((), tree.attrs)


def tell(pipe: int, word: str) -> None:
    os.write(pipe, f"{word} ".encode())


def wrong_states(path: Path, known: list[int]) -> list[str]:
    """What is not as it was; every recorded state is read by h5py. known: numbers that a commit was reported with."""
    found = []
    commits = list(h5burst.log(path))
    if h5burst.verify(path, deep=True):
        found.append(f"damaged: {h5burst.verify(path, deep=True)}")
    if known and commits[0].number < max(known):
        found.append(f"commit {max(known)} was reported, the newest is {commits[0].number}")
    for commit in commits:
        content = int(commit.message.split()[1]) if commit.message else 0
        try:
            stream = h5burst.file_at(path, commit.number)
        except LookupError:
            if commit.number == commits[0].number or "compacted" not in (commit.note or ""):
                found.append(f"state {commit.number} is not there: {commit.note}")
            continue
        with stream, h5py.File(stream) as file:
            if not is_content(file, content) and commit.message:
                found.append(f"state {commit.number} holds something else than {content}")
    return found


def kills(path: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Kill a process that changes the file without pause; look at all states after each."""
    chance, wrong, commits = random.Random(seed), {}, 0
    for number in range(count):
        if number % 25 == 0:
            h5burst.write_tree(path, tree_of(0), overwrite=True)
        reading, writing = os.pipe()
        begin = 1 + 10_000 * number
        child = os.fork()
        if child == 0:
            os.close(reading)
            own = random.Random(begin)

            for content in range(begin, begin + 10_000):
                change(path, content, own, partial(tell, writing))
                with h5burst.file_at(path) as stream:
                    tell(writing, str(stream.state.number))
            os._exit(0)
        os.close(writing)
        time.sleep(chance.choice([0.005, 0.02, 0.05]) * (0.5 + chance.random()))
        with os.fdopen(reading, "rb", buffering=0) as stream:
            first = stream.read(1 << 16)  # at least one change, however busy the machine is
            time.sleep(0.02 * chance.random())
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told = first + stream.read()
        words = told.decode().split(" ")[:-1]
        commits += len(words) - words.count(FORGOTTEN)
        known = [int(one) for one in " ".join(words).rpartition(FORGOTTEN)[2].split()]
        found = wrong_states(path, known)
        litter = [name for name in os.listdir(path.parent) if name != path.name and "h5burst" not in name]
        if found or litter:
            wrong[number] = [*found, *litter]
            h5burst.write_tree(path, tree_of(0), overwrite=True)
    return {"kills": count, "changes": commits, "wrong": wrong}


# ---------------------------------------------------------------- opens


def opens(path: Path, count: int, readers: int = 2) -> dict[str, Any]:
    """Open the file while another process commits without pause: by h5py and by us; each must see one state, whole."""
    h5burst.write_tree(path, tree_of(0), overwrite=True)
    writer = os.fork()
    if writer == 0:
        write_for_ever(path)
    tallies = []
    for reader in range(readers):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, json.dumps(_opened(path, count // readers, reader)).encode())
            os._exit(0)
        os.close(writing)
        tallies.append(reading)
    results = []
    for reading in tallies:
        with os.fdopen(reading) as stream:
            results.append(json.load(stream))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    newest = h5burst.load(path)["data"][0]
    wrong = [text for one in results for text in one["wrong"]]
    return {"opens": sum(one["opens"] for one in results), "commits": int(newest), "wrong": wrong[:20]}


def write_for_ever(path: Path) -> None:
    """Edits, then as many commits of one edit, again and again; now and then the file is compacted."""

    def put(tx: h5burst.Transaction, content: int) -> None:
        tx.put("data", tree_of(content).children["data"])
        tx.set_attributes((), {"content": content})

    for first in range(1, 1 << 40, 100):
        for content in range(first, first + 50):
            with h5burst.edit(path, wait=60) as tx:
                put(tx, content)
        with h5burst.edit(path, wait=60) as tx:
            for content in range(first + 50, first + 100):
                put(tx, content)
                tx.commit()
        if first % 500 == 1:
            h5burst.compact(path, 2)


def _opened(path: Path, count: int, which: int) -> dict[str, Any]:
    wrong = []
    for _ in range(count):
        try:
            if which % 2 == 0:
                with h5py.File(path) as file:
                    content, data = int(file.attrs["content"]), file["data"][:3].tolist()
            else:
                with h5burst.open(path) as ours:
                    content, data = int(ours.attrs["content"]), ours["data"][:3].tolist()
        except h5burst.StaleFileError:
            continue  # ours says so rather than mix two states
        except (OSError, KeyError) as error:
            wrong.append(f"{'h5py' if which % 2 == 0 else 'h5burst'}: {error}")
            continue
        if data != [content] * 3:
            wrong.append(f"{content} and {data} are of two states")
    return {"opens": count, "wrong": wrong}


# ---------------------------------------------------------------- several writers


def puts(path: Path, processes: int, count: int, put: Callable[[Path, str], None] | None = None) -> dict[str, Any]:
    """Several processes put objects into one file; all must be there, and none may wait for long."""
    h5burst.save(path, {}, overwrite=True)
    began, pipes = time.perf_counter(), []
    for process in range(processes):
        reading, writing = os.pipe()
        if os.fork() == 0:
            longest = 0.0
            for number in range(count):
                started = time.perf_counter()
                (put or _put)(path, f"p{process}_{number}")
                longest = max(longest, time.perf_counter() - started)
            os.write(writing, json.dumps(longest).encode())
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    waits = []
    for reading in pipes:
        with os.fdopen(reading) as stream:
            waits.append(json.load(stream))
    seconds = time.perf_counter() - began
    with h5py.File(path) as file:
        there = len(file)
    return {"puts": processes * count, "there": there, "seconds": seconds, "longest wait": max(waits)}


def _put(path: Path, name: str) -> None:
    with h5burst.edit(path, name, wait=600) as tx:
        tx.put(name, Array(np.arange(3)))


def main(directory: str, what: str, *numbers: str) -> None:
    path = Path(directory).resolve() / "file.h5"
    run: dict[str, Callable[..., dict[str, Any]]] = {"kills": kills, "opens": opens, "puts": puts}
    print(json.dumps(run[what](path, *map(int, numbers))))


if __name__ == "__main__":
    main(*sys.argv[1:])
