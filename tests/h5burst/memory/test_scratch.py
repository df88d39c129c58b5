"""Arrays in a scratch file: usable as arrays, and a scratch file that becomes the output."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import read_tree, write_tree, write_tree_into_scratch
from h5burst.format import superblock
from h5burst.memory.scratch import SUFFIX, Scratch, ScratchLostError, ScratchView, scratch_directory
from h5burst.memory.spill import SpillManager, min_budget
from h5burst.model.tree import Array, Group
from h5burst.read.lazy import LazyArray
from h5burst.runtime.private_files import remove_abandoned


@pytest.fixture
def scratch(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Scratch(tmp_path, "data")
    yield made
    made.close()


@pytest.mark.parametrize("shape", [(7,), (300_000,), (2_000_001,), (5000, 77), (3, 4, 5), (40, 100, 100)])
@pytest.mark.parametrize("dtype", ["f4", ">i8", "?", "c16"])
def test_an_array_comes_back_as_it_was(scratch: Scratch, shape: tuple[int, ...], dtype: str) -> None:
    data = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    stored = scratch.store(data)
    assert stored.shape == shape
    assert stored.dtype == data.dtype
    assert np.array_equal(np.asarray(stored), data)
    assert np.array_equal(stored[1:-1], data[1:-1])
    assert np.array_equal(stored[::3], data[::3])
    assert np.array_equal(stored.read(2, 5), data[2:5])


def test_views_of_one_buffer_stay_views(scratch: Scratch) -> None:
    data = np.arange(1_000_000)
    whole = scratch.store(data)
    view = ScratchView(whole, 131_000, (50, 40))
    assert np.array_equal(np.asarray(view), data[131_000:133_000].reshape(50, 40))
    assert np.array_equal(view[3:5, 1], data[131_000:133_000].reshape(50, 40)[3:5, 1])
    assert np.asarray(ScratchView(whole, 5, ())) == 5
    assert np.asarray(ScratchView(whole, 5, (0,))).shape == (0,)


def test_a_scratch_file_becomes_the_output_without_a_copy(scratch: Scratch, tmp_path: Path) -> None:
    data = {f"a{i}": np.random.default_rng(i).normal(size=(1000, 300)) for i in range(5)}
    stored = {name: scratch.store(array) for name, array in data.items()}
    tree = Group({**{n: Array(a, {"unit": "mV"}) for n, a in stored.items()}, "small": Array(np.arange(3))}, {"x": 1})
    inode = scratch.path.stat().st_ino
    path = tmp_path / "out.h5"
    write_tree_into_scratch(path, tree, scratch)
    assert path.stat().st_ino == inode
    with h5py.File(path) as file:
        for name, array in data.items():
            assert np.array_equal(file[name][()], array)
            assert file[name].fletcher32
        assert file.attrs["x"] == 1
    plain = Group({**{n: Array(a, {"unit": "mV"}) for n, a in data.items()}, "small": Array(np.arange(3))}, {"x": 1})
    write_tree(tmp_path / "plain.h5", plain)
    assert path.stat().st_size <= 1.01 * (tmp_path / "plain.h5").stat().st_size
    assert all(np.array_equal(np.asarray(stored[name]), array) for name, array in data.items())
    scratch.close()
    assert path.exists()
    assert set(read_tree(path).children) == {*data, "small"}


def test_a_save_that_fails_leaves_scratch_and_output(scratch: Scratch, tmp_path: Path) -> None:
    stored = scratch.store(np.arange(100_000))
    path = tmp_path / "out.h5"
    path.write_text("old")
    size = scratch.path.stat().st_size
    with pytest.raises(FileExistsError):
        write_tree_into_scratch(path, Group({"a": Array(stored)}), scratch)
    with pytest.raises(TypeError):
        write_tree_into_scratch(path, Group({"a": Array(stored), "b": Array(object())}), scratch, overwrite=True)
    assert (path.read_text(), scratch.path.stat().st_size) == ("old", size)
    assert np.array_equal(np.asarray(stored), np.arange(100_000))


def test_close_and_the_interpreters_exit_remove_the_file(tmp_path: Path) -> None:
    made = Scratch(tmp_path, "data")
    stored = made.store(np.arange(100_000))
    made.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ScratchLostError, match="closed"):
        np.asarray(stored)
    with pytest.raises(ScratchLostError, match="closed"):
        made.store(np.arange(100_000))
    code = (
        "from h5burst.memory.scratch import Scratch; from pathlib import Path; "
        f"s = Scratch(Path({str(tmp_path)!r}), 'x')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not list(tmp_path.iterdir())


def test_the_file_of_a_killed_process_is_found_and_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from h5burst.memory.scratch import Scratch; from pathlib import Path\n"
        f"s = Scratch(Path({str(tmp_path)!r}), 'da[t]a'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    other = Scratch(tmp_path, "other")
    mine = Scratch(tmp_path, "da[t]a")
    assert {path.name for path in tmp_path.iterdir()} == {mine.path.name, other.path.name}
    assert remove_abandoned(tmp_path, "da[t]a", SUFFIX) == []
    mine.close()
    other.close()


def test_a_deleted_scratch_file_is_an_error_and_what_was_in_it_is_not_lost(scratch: Scratch) -> None:
    stored = scratch.store(np.arange(100_000))
    scratch.path.unlink()
    with pytest.raises(ScratchLostError, match="deleted"):
        scratch.store(np.arange(100_000))
    assert np.array_equal(np.asarray(stored), np.arange(100_000))


def test_a_scratch_file_that_was_cut_short_is_an_error(scratch: Scratch) -> None:
    stored = scratch.store(np.arange(100_000))
    with open(scratch.path, "rb+") as stream:
        stream.truncate(1000)
    with pytest.raises(ScratchLostError, match="cut short"):
        np.asarray(stored)


def test_a_full_disk_is_an_error_and_the_file_goes_on(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    made = Scratch(tmp_path, "data")
    first = made.store(np.arange(100_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"scratch|limit"):
            made.store(np.arange(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    second = made.store(np.arange(1_000_000))
    assert np.array_equal(np.asarray(first), np.arange(100_000))
    assert np.array_equal(np.asarray(second), np.arange(1_000_000))
    made.close()


def test_a_directory_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Scratch(tmp_path / "file", "data")


def test_what_is_not_asked_for_is_dead_space(scratch: Scratch) -> None:
    stored, other = scratch.store(np.arange(100_000)), scratch.store(np.arange(50_000))
    assert 800_000 <= scratch.bytes_among([stored, stored, np.arange(3)]) < 801_000
    assert scratch.bytes_among([stored, other]) == scratch.size - superblock.SIZE


def test_the_environment_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("H5BURST_SCRATCH", raising=False)
    assert scratch_directory(tmp_path) == tmp_path
    monkeypatch.setenv("H5BURST_SCRATCH", str(tmp_path / "fast"))
    assert scratch_directory(tmp_path) == tmp_path / "fast"


# ---------------------------------------------------------------- processes, rights, forms


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` says yes in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def refuses_to_store(scratch: Scratch) -> bool:
    try:
        scratch.store(np.zeros(100_000))
    except ScratchLostError as error:
        return "forked" in str(error)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reads_and_neither_writes_nor_removes(scratch: Scratch) -> None:
    data = np.arange(300_000)
    stored = scratch.store(data)
    with scratch._lock:  # as another thread may hold it
        assert in_child(lambda: np.array_equal(np.asarray(stored), data) and int(stored.elements(5, 6)[0]) == 5)
    assert in_child(lambda: refuses_to_store(scratch))

    def close() -> bool:
        scratch.close()
        return True

    assert in_child(close)
    assert scratch.path.exists()
    again = scratch.store(data * 2)
    assert np.array_equal(np.asarray(stored), data)
    assert np.array_equal(np.asarray(again), data * 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_parent_and_child_within_a_budget_spill_to_files_of_their_own(tmp_path: Path) -> None:
    manager = SpillManager(min_budget(), lambda: Scratch(tmp_path, "data"))
    arrays = {i: np.full(min_budget(), i, np.uint8) for i in range(3)}
    manager.enforce(arrays)

    def spill_more() -> bool:
        more = dict(arrays) | {i: np.full(min_budget(), i, np.uint8) for i in range(3, 6)}
        manager.enforce(more)
        return all(bool((np.asarray(array) == i).all()) for i, array in more.items())

    assert in_child(spill_more)
    arrays |= {i: np.full(min_budget(), i, np.uint8) for i in range(6, 9)}
    manager.enforce(arrays)
    assert all(bool((np.asarray(array) == i).all()) for i, array in arrays.items())
    manager.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_nobody_else_may_read_a_scratch_file_and_the_output_has_usual_rights(scratch: Scratch, tmp_path: Path) -> None:
    assert stat.S_IMODE(scratch.path.stat().st_mode) == 0o600
    tree = Group({"a": Array(scratch.store(np.arange(100_000)))})
    (tmp_path / "usual").write_text("")
    write_tree_into_scratch(tmp_path / "a.h5", tree, scratch)
    assert (tmp_path / "a.h5").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_long_name_of_the_output_is_no_obstacle(tmp_path: Path) -> None:
    Scratch(tmp_path, "x" * 250).close()


def test_an_array_in_a_scratch_file_has_what_arrays_have_and_no_name(scratch: Scratch) -> None:
    stored = scratch.store(np.arange(12.0).reshape(3, 4))
    view = ScratchView(scratch.store(np.arange(100.0)), 10, (2, 5))
    for array in (stored, view):
        assert (array.ndim, array.size, array.itemsize) == (2, np.asarray(array).size, 8)
        assert not isinstance(array, LazyArray)
        with pytest.raises(AttributeError, match="has no attribute 'name'"):
            _ = array.name
        assert np.array_equal((array + 1).sum(axis=0), (np.asarray(array) + 1).sum(axis=0))


def test_what_a_scratch_array_says_of_itself(scratch: Scratch) -> None:
    whole = scratch.store(np.arange(1_000_000))
    view = ScratchView(whole, 5, (3,))
    assert repr(whole) == f"<ScratchArray (1000000,) int64 in {scratch.path}>"
    assert repr(view) == f"<ScratchView (3,) int64 in {scratch.path}>"
    assert whole.path == view.path == str(scratch.path)
    assert np.array_equal(np.asarray(view.as_dtype(np.dtype("M8[s]"))), np.arange(5, 8).astype("M8[s]"))
    for array in (whole, view):
        with pytest.raises(TypeError, match=r"belongs to this process: pass np\.asarray\(x\) on"):
            pickle.dumps(array)


def test_what_is_too_small_for_a_scratch_file_is_refused(scratch: Scratch) -> None:
    with pytest.raises(ValueError, match=r"an array of shape \(0,\) and dtype float64 is too small to be moved"):
        scratch.store(np.empty(0))


def test_an_array_in_a_scratch_file_has_every_attribute_of_numpys(scratch: Scratch) -> None:
    data = np.arange(200.0)[::-1].reshape(10, 20).copy()
    whole = scratch.store(data.ravel())
    for array in (scratch.store(data), ScratchView(whole, 0, (10, 20))):
        for name in (name for name in dir(np.ndarray) if not name.startswith("_")):
            expected, found = getattr(data, name), getattr(array, name)
            if isinstance(expected, np.ndarray) or np.isscalar(expected):
                assert np.array_equal(found, expected), name
            assert callable(found) == callable(expected), name
        assert (array.mean(), array.max(axis=0)[1]) == (data.mean(), data.max(axis=0)[1])
        for change in ("fill", "partition", "put", "resize", "setfield", "setflags", "sort"):
            with pytest.raises(TypeError, match="cannot be changed in place"):
                getattr(array, change)()
        assert array.path == str(scratch.path)
