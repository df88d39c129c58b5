"""Interruptions (Ctrl-C) at any moment: no descriptor, lock or temporary file stays behind.

A tracer raises `KeyboardInterrupt` where the interpreter runs the handlers of signals: behind calls, at the beginning
of functions and of the next turn of a loop, in this package and in contextlib. Which of all the places that a call
comes through is drawn. `H5BURST_INTERRUPTIONS=5000` draws more.
"""

from __future__ import annotations

import contextlib
import dis
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import h5burst
from h5burst import Array, Storage
from h5burst._ext.h5parse import ProcessLock
from h5burst.read.open_file import OpenFile
from h5burst.runtime import gc_pause

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
TIMES = int(os.environ.get("H5BURST_INTERRUPTIONS", "40"))
VALUE = {"a": np.arange(1000), "b": {"c": "text", "d": [1, np.ones(3)]}}
HANDLED = ("RESUME", "CALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE")  # a signal that came is handled behind these
FOLLOWED = (os.path.dirname(h5burst.__file__), "contextlib.py", __file__)


class Interrupter:
    """Counts the places where a signal would be handled; interrupts at one of them."""

    def __init__(self, at: int = -1) -> None:
        self.count, self.at = 0, at
        self.before: dict[FrameType, str] = {}  # the instruction that each frame was at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in FOLLOWED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.step

    def step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            before, self.before[frame] = self.before.get(frame, "RESUME"), name
            # A call that raised handles none: tried with 3.11 to 3.13; 3.10 does, and has no such instruction.
            self.count += before.startswith(HANDLED) and name != "PUSH_EXC_INFO"
            if self.count == self.at:
                sys.settrace(None)
                self.before.clear()
                raise KeyboardInterrupt
        elif event == "return":
            self.before.pop(frame, None)
        return self.step

    def run(self, work: Callable[[], object]) -> bool:
        """Whether the call was interrupted."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
            self.before.clear()
        return False


def edit(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("e",), Array(np.arange(5)))


def edit_copied(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("e",), Array(np.arange(5)))
        tx._copy("a test")


def save(path: Path) -> None:
    h5burst.save(path, VALUE, overwrite=True)


def open_and_slice(path: Path) -> None:
    with h5burst.open(path) as file:
        assert file["a"][3] == 3


VERBS: dict[str, Callable[[Path], object]] = {
    "edit": edit,
    "edit of a copy": edit_copied,
    "save": save,
    "open": open_and_slice,
    "load": h5burst.load,
    "compact": h5burst.compact,
    "repack": lambda path: h5burst.repack(path, path, overwrite=True),
    "verify": h5burst.verify,
}


def descriptors(folder: Path) -> set[str]:
    """Of the files in a folder: what another test left open is not this one's."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return {entry for entry in found if f" {folder}/" in entry}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_stays_behind_after_an_interruption(tmp_path: Path, verb: str) -> None:
    path, work = tmp_path / "file.h5", VERBS[verb]
    save(path)
    edit(path)
    work(path)  # whatever is done the first time
    counter = Interrupter()
    counter.run(lambda: work(path))
    draw, interrupted = random.Random(verb), 0
    for at in sorted(draw.randrange(1, counter.count) for _ in range(TIMES)):
        interrupted += Interrupter(at).run(lambda: work(path))
        assert gc.isenabled(), at
        with h5burst.edit(path) as tx:  # nobody locks it
            tx.set_attributes((), {"at": at})
        if descriptors(tmp_path):  # held in a cycle with the frames that were interrupted
            gc.collect()
        assert descriptors(tmp_path) == set(), at
        assert os.listdir(tmp_path) == ["file.h5"], at
        assert np.array_equal(h5burst.load(path)["a"], VALUE["a"])
    assert interrupted > TIMES // 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("closes", [True, False])
def test_a_descriptor_is_closed_wherever_it_is_interrupted(tmp_path: Path, closes: bool) -> None:
    """At each place, that at which nobody holds it any more included."""
    path = tmp_path / "file"
    path.write_bytes(b"")

    def work() -> None:
        held = OpenFile(path).held
        if closes:
            held.close()

    counter = Interrupter()
    counter.run(work)
    for at in range(1, counter.count + 1):
        Interrupter(at).run(work)
        assert descriptors(tmp_path) == set(), at


@pytest.mark.parametrize("storage", [Storage("nocodec"), Storage("gzip", 99), "gzip"])
def test_a_wrong_storage_leaves_no_lock(tmp_path: Path, storage: Any) -> None:
    save(tmp_path / "file.h5")
    with pytest.raises((ValueError, TypeError)) as raised:
        h5burst.edit(tmp_path / "file.h5", storage=storage)
    assert descriptors(tmp_path) == set()
    edit(tmp_path / "file.h5")
    del raised


@pytest.mark.parametrize("begun", [h5burst.edit, lambda path: VERBS and h5burst.edit(path).tree()])
def test_a_forgotten_edit_gives_up_its_lock(tmp_path: Path, begun: Callable[[Path], object]) -> None:
    save(tmp_path / "file.h5")
    held = begun(tmp_path / "file.h5")
    del held
    gc.collect()
    assert descriptors(tmp_path) == set()
    edit(tmp_path / "file.h5")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_collector_is_on_whenever_a_pause_is_interrupted() -> None:
    def work() -> None:
        with gc_pause.collection_paused():
            pass

    counter = Interrupter()
    counter.run(work)
    for at in range(1, counter.count + 1):
        Interrupter(at).run(work)
        assert gc.isenabled(), at


def test_a_lock_is_free_whenever_its_holder_is_interrupted() -> None:
    lock = ProcessLock()

    def work() -> None:
        with lock.of_this_process():
            pass

    counter = Interrupter()
    counter.run(work)
    assert counter.count > 1
    for at in range(1, counter.count + 1):
        Interrupter(at).run(work)
        other = threading.Thread(target=work, daemon=True)
        other.start()
        other.join(5)
        assert not other.is_alive(), at


SCRIPT = """
import gc, os, sys, signal
import numpy as np
import h5burst
path = sys.argv[1]
left = 30
working = False  # an interruption elsewhere than within the try would end the program
def handle(number, frame):
    global left, working
    if working:
        working = False
        left -= 1
        if left > 0:
            raise KeyboardInterrupt
signal.signal(signal.SIGINT, handle)
def work():
    h5burst.save(path, {"a": np.arange(1000)}, overwrite=True)
    with h5burst.edit(path) as tx:
        tx.put("b", h5burst.Array(np.arange(50)))
    h5burst.load(path)
    h5burst.compact(path)
work()  # imports what there is, which bears no interruption
print("ready", flush=True)
while left > 0:
    try:
        working = True
        work()
        working = False
    except KeyboardInterrupt:
        pass
assert gc.isenabled()
held = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
print([link for link in held if path in link or "h5burst" in link], flush=True)
os._exit(0)
"""


def test_signals_at_random_moments_leave_nothing(tmp_path: Path) -> None:
    path, draw = tmp_path / "file.h5", random.Random(3)
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        timer = threading.Event()
        while process.poll() is None and not timer.wait(draw.uniform(0.002, 0.03)):
            process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        assert process.stdout.read() == "[]\n"
    assert process.returncode == 0
    assert os.listdir(tmp_path) in (["file.h5"], [])
