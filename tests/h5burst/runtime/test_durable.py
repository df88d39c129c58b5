"""Files that appear whole or not at all, one writer at a time, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import h5burst
from h5burst.model.tree import Array, Group
from h5burst.runtime import durable
from h5burst.runtime.durable import DurabilityWarning, replacing
from h5burst.write import native, sink

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and locks")
TREE = Group({"x": Array(np.arange(100_000))})


def others(path: Path) -> list[str]:
    """The names beside `path` in its directory."""
    return sorted(name for name in os.listdir(path.parent) if name != path.name)


def write(path: Path, text: str, *, overwrite: bool = True) -> None:
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text)


@posix
@pytest.mark.parametrize("call", ["unlink", "rmdir", "scandir"])
def test_an_interruption_leaves_no_part_of_a_temporary_directory(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes while the directory is removed, at each of the calls that do it."""
    real, interrupted = getattr(os, call), 0
    for at in range(9):
        count = 0

        def called(*given: Any, at: int = at, **options: Any) -> Any:
            nonlocal count, interrupted
            count += 1
            if count == at + 1:
                interrupted += 1
                raise KeyboardInterrupt
            return real(*given, **options)

        with contextlib.suppress(KeyboardInterrupt), durable.temporary_directory(".made-", tmp_path) as directory:
            for name in ("a", "b", "c/d"):
                (directory / name).parent.mkdir(exist_ok=True)
                (directory / name).write_text("x")
            monkeypatch.setattr(os, call, called)
        monkeypatch.undo()
        assert os.listdir(tmp_path) == []
    assert interrupted >= 2


def leave_a_temporary_file(directory: Path, name: str) -> None:
    """What a process that was killed within a save leaves."""
    code = (
        "import os, signal, sys; from pathlib import Path; from h5burst.runtime.durable import replacing\n"
        "with replacing(Path(sys.argv[1]), overwrite=True) as temporary:\n"
        "    temporary.write_text('left by a crash'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, directory / name], check=False).returncode == -9


@posix
def test_a_directory_is_cleared_of_what_killed_processes_left_for_any_name(tmp_path: Path) -> None:
    for name in ("a.h5", "b\n.json", "n" * 250):
        leave_a_temporary_file(tmp_path, name)
    (tmp_path / ".mine.h5burst-tmp").write_text("of an earlier version, or of nobody knows whom")
    assert len(os.listdir(tmp_path)) == 4
    with replacing(tmp_path / "c.h5", overwrite=True) as in_use:
        durable.clear(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([in_use.name, ".mine.h5burst-tmp"])


def test_a_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "directory" / "a.h5"
    with replacing(path, overwrite=False) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert others(path) == []


def test_an_existing_file_is_refused_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"a\.h5"):
        write(path, "new", overwrite=False)
    assert path.read_text() == "old"


def test_an_error_in_the_block_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")

    def fail() -> None:
        with replacing(path, overwrite=True) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert others(path) == []


def test_the_next_save_clears_what_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    leave_a_temporary_file(tmp_path, "a.h5")
    (tmp_path / ".a.h5.h5burst-tmp").write_text("left by an earlier version")
    assert len(others(path)) == 2
    with replacing(path, overwrite=False) as temporary:
        assert temporary.read_text() == ""
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert others(path) == []


def test_neighbours_in_the_directory_take_no_calls_of_a_save(tmp_path: Path) -> None:
    def calls() -> int:
        count = 0

        def note(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            h5burst.save(tmp_path / "a.h5", {"a": 1}, overwrite=True)
        finally:
            sys.setprofile(None)
        return count

    calls()
    alone = calls()
    for number in range(300):
        (tmp_path / f"{number}.txt").touch()
    assert calls() < alone + 30  # collections of garbage may come between


def test_a_name_too_long_for_a_suffix_still_works(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".h5")
    write(path, "whole")
    assert path.read_text() == "whole"


@posix
def test_permissions_of_the_replaced_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")
    path.chmod(0o640)
    write(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640


@posix
def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.h5", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.h5").stat().st_mode & 0o777 == 0o640


@posix
def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.h5", tmp_path / "link.h5"
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert others(target) == []


@posix
def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(tmp_path / "real.h5")
    write(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "real.h5").read_text() == "new"


# ---------------------------------------------------------------- one writer a file


@posix
def test_a_file_open_for_writing_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)
    with h5burst.open_file(path, "r+"), pytest.raises(BlockingIOError, match=r"has it open.*a\.h5"):
        h5burst.write_tree(path, Group(), overwrite=True)
    assert "x" in h5burst.read_tree(path)
    assert others(path) == []


@posix
def test_a_file_open_for_reading_is_replaced_and_the_reader_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)
    with h5burst.open_file(path, "r") as reader:
        h5burst.write_tree(path, Group({"y": Array(np.arange(3))}), overwrite=True)
        assert reader["x"][5] == 5
    assert "y" in h5burst.read_tree(path)


@posix
def test_nobody_writes_the_old_file_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text("new")
        with pytest.raises(OSError, match=r"a\.h5"):
            h5burst.open_file(path, "r+")
    assert path.read_text() == "new"


@posix
def test_two_saves_at_the_same_time_both_succeed_and_the_last_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with replacing(path, overwrite=True) as first:
        first.write_text("first")
        with replacing(path, overwrite=True) as second:
            second.write_text("second")
            assert second != first
            assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert others(path) == []


@posix
def test_a_file_that_came_meanwhile_is_not_replaced_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"

    def save_while_another_saves() -> None:
        with replacing(path, overwrite=False) as first:
            first.write_text("first")
            write(path, "second")

    with pytest.raises(FileExistsError, match=r"a\.h5"):
        save_while_another_saves()
    assert path.read_text() == "second"
    assert others(path) == []


@posix
def test_a_file_that_another_save_put_there_and_somebody_writes_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)

    def save_while_another_saves_and_edits(writers: contextlib.ExitStack) -> None:
        with replacing(path, overwrite=True) as mine:
            mine.write_text("mine")
            h5burst.write_tree(path, TREE, overwrite=True)
            writers.enter_context(h5burst.open_file(path, "r+"))

    with contextlib.ExitStack() as writers:
        with pytest.raises(BlockingIOError, match=r"a\.h5"):
            save_while_another_saves_and_edits(writers)
        assert others(path) == []
    assert "x" in h5burst.read_tree(path)


@posix
def test_a_save_in_another_process_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    script = (
        "import sys; from pathlib import Path; from h5burst.runtime.durable import replacing\n"
        "with replacing(Path(sys.argv[1]), overwrite=True) as temporary:\n"
        "    temporary.write_text('theirs'); print('ready', flush=True); sys.stdin.readline()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"ready"
    write(path, "ours")
    assert path.read_text() == "ours"
    assert len(others(path)) == 1
    child.communicate(b"\n", timeout=60)
    assert child.returncode == 0
    assert path.read_text() == "theirs"
    write(path, "ours")
    assert path.read_text() == "ours"


@posix
def test_many_savers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, "0" * 1000)

    def save(number: int) -> int:
        for _ in range(30):
            write(path, str(number) * 1000)
            assert len(set(path.read_text())) == 1
        return number

    with ThreadPoolExecutor(4) as savers:
        assert list(savers.map(save, range(4))) == [0, 1, 2, 3]
    assert len(set(path.read_text())) == 1
    assert len(path.read_text()) == 1000
    assert others(path) == []


def test_locks_can_be_switched_off_as_hdf5s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_a_temporary_file(tmp_path, "a.h5")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    path = tmp_path / "a.h5"
    write(path, "whole")
    assert path.read_text() == "whole"
    assert others(path) == []


# ---------------------------------------------------------------- rights


@posix
def test_the_temporary_file_is_private_from_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        with replacing(path, overwrite=True) as temporary:
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
            h5burst.write_tree(temporary.with_name("b.h5"), TREE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "b.h5").stat().st_mode) == 0o666


@posix
def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    path, victim = tmp_path / "a.h5", tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.h5.h5burst-tmp").symlink_to(victim)
    write(path, "whole")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    with replacing(path, overwrite=True) as first, replacing(path, overwrite=True) as second:
        assert first.name != second.name


@posix
def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")
    try:
        os.setxattr(path, "user.origin", b"the lab")
    except OSError:
        pytest.skip("no extended attributes in this file system")
    write(path, "new")
    assert os.getxattr(path, "user.origin") == b"the lab"
    h5burst.write_tree(path, TREE, overwrite=True)
    assert os.getxattr(path, "user.origin") == b"the lab"


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    write(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12345, 23456, 0o640)


@posix
def test_rights_of_a_group_that_cannot_be_kept_go_to_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = tmp_path / "a.h5"
    path.write_text("old")
    if os.geteuid() == 0:
        os.chown(path, -1, 23456)
    else:
        pytest.skip("needs a file of another group")
    path.chmod(0o664)
    monkeypatch.setattr(os, "fchown", refuse)
    write(path, "new")
    assert path.stat().st_gid != 23456
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@posix
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))])
def test_what_is_no_regular_file_is_refused_and_left(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a.h5"
    try:
        make(path)
    except PermissionError:
        pytest.skip("only root makes devices")
    before = path.stat().st_mode
    with pytest.raises(OSError, match=r"not a regular file.*a\.h5"):
        h5burst.write_tree(path, TREE, overwrite=True)
    with pytest.raises(OSError, match=r"not a regular file.*a\.h5"):
        h5burst.open_file(path, "w")
    assert path.stat().st_mode == before
    assert others(path) == []


@posix
def test_a_directory_that_cannot_be_flushed_is_a_warning_because_the_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    path = tmp_path / "a.h5"
    with pytest.warns(DurabilityWarning, match=r"a\.h5 is saved, but its directory"):
        write(path, "new")
    assert path.read_text() == "new"


# ---------------------------------------------------------------- errors


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        write(tmp_path, "new")


def test_a_file_where_a_directory_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file") as caught:
        write(tmp_path / "file" / "a.h5", "new")
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)


def _as_nobody(action: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a save as a user without rights."""
    script = (
        "import encodings.ascii, os, sys; from pathlib import Path; import h5burst.runtime.durable as d\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"try:\n    {action}\n"
        "except OSError as error: print(type(error).__name__, error)\n"
    )
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)


needs_root = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root to drop rights")
SAVE = "with d.replacing(Path(sys.argv[1]), overwrite=True) as t: t.write_text('new')"


@needs_root
@pytest.mark.parametrize("what", ["directory", "file"])
def test_missing_rights_are_said(tmp_path: Path, what: str) -> None:
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(0o755)
    path = tmp_path / "a.h5"
    path.write_text("old")
    if what == "file":
        tmp_path.chmod(0o777)
        path.chmod(0o644)
    done = _as_nobody(SAVE, path)
    assert done.stdout.startswith("PermissionError")
    assert "check the permissions" in done.stdout
    assert str(path) in done.stdout
    assert path.read_text() == "old"
    assert others(path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_a_full_disk_is_said_whoever_writes(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": range(100_000)})
    for write_table in (table.write_csv, table.write_parquet):
        with pytest.raises(OSError, match=r"the disk is full.*x\.csv"), durable.annotating_oserror("x.csv", "save"):
            write_table("/dev/full")


@posix
def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    script = (
        "import json, resource, signal, sys; from pathlib import Path; from h5burst import locks\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "with locks.holding(Path(sys.argv[1])): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "rec.lock"], capture_output=True, text=True, check=False
    )
    assert str(tmp_path) in done.stderr.splitlines()[-1]
    assert os.listdir(tmp_path) == []


@needs_root
def test_what_another_user_left_in_a_shared_directory_stops_no_save(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(0o755)
    tmp_path.chmod(0o1777)
    leave_a_temporary_file(tmp_path, "a.h5")
    assert _as_nobody(SAVE, tmp_path / "a.h5").stdout == ""
    assert (tmp_path / "a.h5").read_text() == "new"
    assert len(others(tmp_path / "a.h5")) == 1


def _limited(limit: int, path: Path) -> subprocess.CompletedProcess[str]:
    """Save a tree in a process whose files may not grow beyond a limit."""
    script = (
        "import resource, sys; import numpy as np; import h5burst; "
        "from h5burst.model.tree import Array, Group\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "tree = Group({str(i): Array(np.arange(20_000)) for i in range(20)})\n"
        "try: h5burst.write_tree(sys.argv[1], tree, overwrite=True)\n"
        "except OSError as error: print(type(error).__name__, error)\n"
    )
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)


@posix
@pytest.mark.parametrize("limit", [0, 1000, 500_000])
def test_a_file_that_may_not_grow_is_said(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)
    done = _limited(limit, path)
    assert "the limit of this process" in done.stdout
    assert str(path) in done.stdout
    assert "x" in h5burst.read_tree(path)
    assert others(path) == []


@needs_root
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this place permits no mount")
    try:
        path = disk / "a.h5"
        h5burst.write_tree(path, Group({"x": Array(np.arange(1000))}))
        with pytest.raises(OSError, match=r"the disk is full.*a\.h5") as caught:
            h5burst.write_tree(path, Group({"x": Array(np.arange(1_000_000))}), overwrite=True)
        assert caught.value.errno == errno.ENOSPC
        assert np.array_equal(h5burst.read_tree(path)["x"].data, np.arange(1000))
        assert others(path) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_error_about_another_file_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source") as caught, replacing(tmp_path / "a.h5", overwrite=False):
        (tmp_path / "source").read_bytes()
    assert caught.value.filename == str(tmp_path / "source")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file.*missing\.h5"):
        h5burst.open_file(tmp_path / "missing.h5")


@posix
def test_a_locked_file_is_named(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "a.h5"
    h5burst.write_tree(path, TREE)
    with open(path, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=r"close it there first.*a\.h5"):
            h5burst.open_file(path, "r")


@posix
def test_a_file_whose_writer_was_killed_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    script = (
        "import os, sys; import numpy as np; import h5burst; from h5burst.model.tree import Array\n"
        "f = h5burst.open_file(sys.argv[1], 'a'); h5burst.graft(f, ('x',), Array(np.arange(10))); f.flush()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)
    with pytest.raises(OSError, match=r"a\.h5: its last writer was interrupted"):
        h5burst.open_file(path, "r+")


def test_error_numbers_are_found_in_the_words_of_libhdf5() -> None:
    assert (
        durable.error_number(OSError("Unable to write (errno = 28, error message = 'No space left on device')")) == 28
    )
    assert durable.error_number(RuntimeError("Unable to close")) is None
    assert durable.error_number(OSError(errno.EIO, "x")) == errno.EIO


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="Linux lets a file's bytes go to disk early")
@pytest.mark.parametrize("refused", [False, True])
def test_the_disk_takes_bytes_while_others_are_made(
    refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def advise(descriptor: int, start: int, length: int, advice: int) -> None:
        asked.append((start, length))
        if refused:
            raise OSError(22, "not here")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    values = np.arange(4_000_000)
    h5burst.write_tree(tmp_path / "a.h5", Group({"x": Array(values)}))
    assert asked[0][0] == 0
    assert all(start + length == following for (start, length), (following, _) in pairwise(asked))
    assert sum(length for _, length in asked) > values.nbytes - 2 * sink.FLUSHED_BYTES
    np.testing.assert_array_equal(h5burst.read_tree(tmp_path / "a.h5")["x"].data, values)
    asked.clear()
    native.write(tmp_path / "b.h5", Group({"x": Array(values)}))
    assert not asked
