"""One job a recording, and a dead holder does not keep it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from h5burst.runtime import locks
from hdmea.batch import lock

HOLD = (
    "import sys, time; from pathlib import Path; from hdmea.batch.lock import holding\n"
    "with holding(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "l")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_held_lock_says_who_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(lock.RecordingLockedError, match=f"process {holder.pid} on {socket.gethostname()}"),
        lock.holding(tmp_path / "l"),
    ):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "l").exists()
    with lock.holding(tmp_path / "l"):
        assert json.loads((tmp_path / "l").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "l").exists()


def test_where_there_are_no_locks_the_process_decides(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(lock.RecordingLockedError), lock.holding(tmp_path / "l"):
        pass
    holder.kill()
    holder.wait()
    with lock.holding(tmp_path / "l"):
        pass


def test_where_there_are_no_locks_another_host_counts_as_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    (tmp_path / "l").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(lock.RecordingLockedError, match="on elsewhere"), lock.holding(tmp_path / "l"):
        pass


def test_the_lock_goes_with_an_error_in_the_block(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock.holding(tmp_path / "l"):
        raise KeyError
    with lock.holding(tmp_path / "l"):
        pass
