"""Files that are no path: in memory, opened by others, compressed, far away."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

import h5burst
from h5burst import CorruptFileError, StaleFileError
from h5burst.read.file_objects import accepts_file_objects
from support.range_server import serving

DATA = np.random.default_rng(1).normal(size=(5000, 40)).round(2)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with everything that reading treats differently; some of it only libhdf5 reads."""
    path = tmp_path_factory.mktemp("content") / "file.h5"
    with h5py.File(path, "w", libver="v110") as file:
        file.create_dataset("zipped", data=DATA, chunks=(250, 40), compression="gzip", shuffle=True)
        file.create_dataset("scaled", data=np.arange(1000), chunks=(100,), scaleoffset=0)
        file["contiguous"] = DATA
        file["texts"] = np.array(["a", "µ"] * 300, dtype=object)
        for k in range(200):
            file[f"many/g{k}/x"] = np.arange(k)
        file.attrs["title"] = "all"
    return path.read_bytes()


class Plain:
    """The least that a file object may be: read and seek."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)
        self.requests: list[int] = []

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        self.requests.append(size)
        return self._stream.read(min(size, 70_000))  # not all that was asked for, as raw files may


def _on_disk(content: bytes, directory: Path) -> Path:
    (directory / "file.h5").write_bytes(content)
    return directory / "file.h5"


def _zipped(content: bytes, directory: Path) -> Any:
    with zipfile.ZipFile(directory / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.h5", content)
    return zipfile.ZipFile(directory / "a.zip").open("file.h5")


def _gzipped(content: bytes, directory: Path) -> Any:
    (directory / "file.h5.gz").write_bytes(gzip.compress(content, 1))
    return gzip.open(directory / "file.h5.gz")


OBJECTS: dict[str, Callable[[bytes, Path], Any]] = {
    "BytesIO": lambda content, _: io.BytesIO(content),
    "open": lambda content, directory: _on_disk(content, directory).open("rb"),
    "unbuffered": lambda content, directory: open(_on_disk(content, directory), "rb", buffering=0),  # noqa: SIM115
    "open for writing": lambda content, directory: _on_disk(content, directory).open("r+b"),
    "temporary": lambda content, _: _temporary(content),
    "least": lambda content, _: Plain(content),
    "gzip": _gzipped,
    "zip": _zipped,
    "fsspec file": lambda content, directory: fsspec.open(f"file://{_on_disk(content, directory)}").open(),
    "fsspec memory": lambda content, _: _in_memory(content),
}


def _temporary(content: bytes) -> Any:
    stream = tempfile.TemporaryFile()  # noqa: SIM115
    stream.write(content)
    return stream


def _in_memory(content: bytes) -> Any:
    fsspec.filesystem("memory").pipe("/file.h5", content)
    return fsspec.open("memory://file.h5").open()


@pytest.fixture(params=OBJECTS)
def stream(request: pytest.FixtureRequest, content: bytes, tmp_path: Path) -> Iterator[Any]:
    opened = OBJECTS[request.param](content, tmp_path)
    yield opened
    if hasattr(opened, "close"):
        opened.close()


def test_every_way_of_reading(stream: Any) -> None:
    with h5burst.open(stream) as file:
        np.testing.assert_array_equal(file["zipped"][::700, 3], DATA[::700, 3])
        np.testing.assert_array_equal(file["contiguous"][10:4000], DATA[10:4000])
        assert file["scaled"][[5, 900]].tolist() == [5, 900]
        assert file["texts"][1] == "µ"
        assert file["many/g7/x"][...].tolist() == list(range(7))
        assert file.attrs["title"] == "all"
    for tree in (h5burst.load(stream), h5burst.load(stream, lazy=True)):
        np.testing.assert_array_equal(np.asarray(tree["zipped"]), DATA)
        assert len(tree["many"]) == 200
        np.testing.assert_array_equal(np.asarray(tree["scaled"]), np.arange(1000))
    node = h5burst.read_tree(stream)["many/g9/x"]
    assert np.asarray(node.data).tolist() == list(range(9))


def test_threads_share_one_object(stream: Any) -> None:
    with h5burst.open(stream) as file, ThreadPoolExecutor(4) as pool:
        array = file["zipped"]
        rows = list(pool.map(lambda k: array[k * 100 : (k + 1) * 100], range(50)))
    np.testing.assert_array_equal(np.concatenate(rows), DATA)


def test_no_private_copy_is_left(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for stream in (io.BytesIO(content), Plain(content)):
        file = h5burst.open(stream)
        assert file["scaled"][3] == 3
        assert len(list(tmp_path.iterdir())) == 1  # libhdf5 in its child needs a path
        assert next(tmp_path.iterdir()).stat().st_mode & 0o077 == 0
        assert h5burst.load(stream)["scaled"][4] == 4
        del file
        assert list(tmp_path.iterdir()) == []


def test_a_whole_file_is_read_by_few_large_requests(content: bytes) -> None:
    stream = Plain(content)
    h5burst.load(stream)
    assert sum(1 for size in stream.requests if size) <= len(content) // 70_000 + 4  # it gives 70 000 bytes at most


def test_they_are_pickled_as_their_objects_are(content: bytes, tmp_path: Path) -> None:
    for stream in (io.BytesIO(content), fsspec.open(f"file://{_on_disk(content, tmp_path)}").open()):
        file = h5burst.open(stream)
        again = pickle.loads(pickle.dumps(file["zipped"]))  # noqa: S301
        np.testing.assert_array_equal(again[:7], DATA[:7])
        assert len(pickle.loads(pickle.dumps(file["many"]))) == 200  # noqa: S301
    with _on_disk(content, tmp_path).open("rb") as stream, pytest.raises(TypeError):
        pickle.dumps(h5burst.open(stream)["zipped"])


def test_errors_name_the_object(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="<BytesIO>"):
        h5burst.open(io.BytesIO(b"not HDF5"))
    with pytest.raises(CorruptFileError, match="<BytesIO>: it is cut short"):
        h5burst.load(io.BytesIO(content[:-100]))
    with pytest.raises(CorruptFileError, match="<Plain>"):
        h5burst.load(Plain(content[: len(content) // 2]))
    with _on_disk(content[:-100], tmp_path).open("rb") as stream, pytest.raises(CorruptFileError, match=r"file\.h5"):
        h5burst.open(stream)
    with h5burst.open(io.BytesIO(content)) as file, pytest.raises(KeyError, match="<BytesIO>"):
        file["lost"]


def test_what_is_no_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="binary mode"):
        h5burst.open(io.StringIO("text"))
    with pytest.raises(TypeError, match="int is neither a path nor a binary file object"):
        h5burst.open(5)
    with pytest.raises(TypeError, match=r"OpenFile is neither a path .* open it first"):
        h5burst.load(fsspec.open("memory://file.h5"))
    with (tmp_path / "new").open("wb") as stream, pytest.raises(ValueError, match="not open for reading"):
        h5burst.load(stream)
    read, write = os.pipe()
    with open(read, "rb") as stream, open(write, "wb"), pytest.raises(ValueError, match="cannot seek"):
        h5burst.open(stream)


def test_an_object_without_read_and_seek_is_refused() -> None:
    class Reads:
        def read(self, _size: int = -1) -> bytes:
            return b""

    with pytest.raises(TypeError, match="<Reads> has no read and seek: it is not a binary file object"):
        h5burst.open(Reads())


def test_an_object_that_ends_early_is_an_error_that_names_it(content: bytes) -> None:
    class Ending(Plain):
        is_at_end = False

        def read(self, size: int = -1) -> bytes:
            return b"" if self.is_at_end and size else super().read(size)

    stream = Ending(content)
    file = h5burst.open(stream)
    stream.is_at_end = True
    with pytest.raises(OSError, match=r"<Ending> ends \d+ bytes too early"):
        file["contiguous"][:]


def test_a_closed_object_is_an_error(content: bytes, tmp_path: Path) -> None:
    for stream in (io.BytesIO(content), _on_disk(content, tmp_path).open("rb")):
        file = h5burst.open(stream)
        stream.close()
        with pytest.raises((ValueError, OSError)):
            file["zipped"]


def test_an_object_of_another_length_is_stale(content: bytes) -> None:
    stream = io.BytesIO(content)
    file = h5burst.open(stream)
    stream.seek(0, 2)
    stream.write(b"more")
    with pytest.raises(StaleFileError):
        file["zipped"]


def test_external_links_lead_nowhere_from_an_object(tmp_path: Path) -> None:
    """An object has no directory, and untrusted bytes shall not open files here."""
    h5burst.save(tmp_path / "other.h5", {"x": 1})
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
        file["own"] = 1
    assert h5burst.load(stream) == {"own": 1}
    with h5burst.open(stream) as opened, pytest.raises(KeyError, match="link"):
        opened["link"]


@pytest.mark.parametrize("kind", ["BytesIO", "least", "fsspec file"])
def test_verbs_that_read_files_take_objects(kind: str, content: bytes, tmp_path: Path) -> None:
    stream = OBJECTS[kind](content, tmp_path)
    (tmp_path / "on_disk.h5").write_bytes(content)
    assert h5burst.verify(stream) == []
    assert h5burst.diff(stream, tmp_path / "on_disk.h5") == []
    assert h5burst.info(stream).datasets == 204
    h5burst.repack(stream, tmp_path / "packed.h5")
    assert h5burst.diff(tmp_path / "packed.h5", stream) == []
    assert h5burst.salvage(stream, tmp_path / "saved.h5").lost == ()
    assert h5burst.diff(tmp_path / "saved.h5", stream) == []


def test_errors_of_such_verbs_name_the_object(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="<BytesIO>"):
        h5burst.repack(io.BytesIO(b"not HDF5"), tmp_path / "packed.h5")
    with pytest.raises(CorruptFileError, match="<BytesIO>"):
        h5burst.diff(io.BytesIO(b"not HDF5"), io.BytesIO(b"not HDF5, too"))

    @accepts_file_objects("path")
    def refuse(path: Any) -> None:
        raise OSError(f"{path} is refused")

    with pytest.raises(OSError, match=r"^<BytesIO> is refused$"):
        refuse(io.BytesIO(b"any"))
    assert [problem.path for problem in h5burst.verify(io.BytesIO(b"not HDF5"))] == ["/"]
    with pytest.raises(TypeError, match=r"missing .*: 'b'"):
        h5burst.diff(io.BytesIO(b""))  # type: ignore[call-arg]


# ---------------------------------------------------------------- far away


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A session of 21 000 datasets in 300 units, each unit some small arrays and some large ones."""
    rng = np.random.default_rng(4)
    units: dict[str, Any] = {}
    for number in range(300):
        movies = {
            f"movie_{k}": {"rate": rng.normal(size=400), "trials": rng.integers(0, 9, 200), "score": 0.5, "name": "bar"}
            for k in range(17)
        }
        units[f"unit_{number:03}"] = {
            "spike_times": rng.integers(0, 10**7, 9000),
            "waveform": rng.normal(size=82),
            **movies,
        }
    path = tmp_path_factory.mktemp("session") / "session.h5"
    h5burst.save(path, {"units": units, "light": rng.normal(size=300_000)})
    return path.read_bytes()


def test_one_unit_of_a_far_session_takes_few_requests(session: bytes) -> None:
    with serving(session) as served, fsspec.open(served.url) as stream, h5burst.open(stream) as file:
        unit = file["units/unit_150"]
        values = {name: item[()] for name, item in unit.walk() if not isinstance(item, h5burst.LazyGroup)}
        assert len(values) == 70
        assert served.requests <= 20
        assert served.sent <= 0.02 * len(session)
        assert len(served.ranges) == len(set(served.ranges))
    local = h5burst.load(io.BytesIO(session))["units"]["unit_150"]
    np.testing.assert_array_equal(values["spike_times"], local["spike_times"])
    np.testing.assert_array_equal(values["movie_16/rate"], local["movie_16"]["rate"])


@pytest.mark.parametrize("path", ["units/unit_0123/x", "units"])
def test_one_object_of_a_far_file_of_the_older_format_takes_few_requests(path: str) -> None:
    """All links of each group above it were read, which stand all over the file."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for number in range(1000):
            file[f"units/unit_{number:04}/x"] = np.full(500, number)
        file["units/link"] = h5py.SoftLink("/units/unit_0007")
    with serving(content.getvalue()) as served, fsspec.open(served.url) as stream, h5burst.open(stream) as file:
        found = file[path]
        assert served.requests <= 12
        units = file["units"]
        assert file["units"]["unit_0999"]["x"][3] == 999
        assert served.requests <= 20
        assert "unit_1000" not in units
        assert units["link/x"][0] == 7
        assert units["unit_0000/x"][0] == 0
        assert len(units) == 1001
        assert found.name == f"/{path}"


def test_slices_of_a_far_array_fetch_the_chunks_they_need_together_and_once(content: bytes) -> None:
    with h5py.File(io.BytesIO(content)) as local:
        sizes = [local["zipped"].id.get_chunk_info(k).size for k in range(20)]
    with serving(content) as served, fsspec.open(served.url) as stream, h5burst.open(stream) as file:
        array = file["zipped"]
        array[0]  # its header and the places of its chunks are read now
        served.clear()
        np.testing.assert_array_equal(array[:], DATA)
        assert served.requests <= 3
        assert served.sent <= sum(sizes) + 65536
        starts = sorted(served.ranges)
        assert all(stop <= start for (_, stop), (start, _) in pairwise(starts))
        served.clear()
        np.testing.assert_array_equal(file["contiguous"][4000:], DATA[4000:])
        assert served.requests <= 3


def test_a_far_file_read_whole_is_fetched_once(content: bytes) -> None:
    with serving(content) as served, fsspec.open(served.url) as stream:
        found = h5burst.load(stream)
        assert served.requests <= 4
        assert served.sent <= len(content)
    np.testing.assert_array_equal(found["zipped"], DATA)


def test_a_far_array_is_read_by_dask(content: bytes) -> None:
    dask_array = pytest.importorskip("dask.array")
    with serving(content) as served, fsspec.open(served.url) as stream, h5burst.open(stream) as file:
        total = dask_array.from_array(file["zipped"], chunks=(1000, 40)).sum().compute(scheduler="threads")
    assert total == pytest.approx(DATA.sum())
