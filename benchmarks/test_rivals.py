"""The strongest other readers and writers, each in one run with ours: whatever is not installed is skipped by name.

    python -m pip install hidefix pyfive remfile kerchunk virtualizarr "zarr>=3" zarrs   # LINDI wants zarr 2: apart

`H5BURST_BENCH_RIVALS` is a share of the size: 1 for 256 MB and 21 000 datasets.
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import fsspec
import h5py
import numpy as np
import pytest
from harness import versus
from naive import thread_pool

import h5burst

SHARE = float(os.environ.get("H5BURST_BENCH_RIVALS", "1"))
ROWS = int(4_000_000 * SHARE)
GROUPS = max(10, int(1000 * SHARE))  # of 21 datasets each
LATENCY_S = 0.02  # of a request to a far file

pytestmark = pytest.mark.filterwarnings("ignore")


def other_of(package: str) -> str:
    return f"{package} {version(package)}"


@pytest.fixture(scope="module")
def traces():
    rng = np.random.default_rng(0)
    return (rng.normal(0, 15, (ROWS, 32)) + rng.normal(0, 30, (ROWS, 1))).astype(np.int16)


@pytest.fixture(scope="module")
def recording(tmp_path_factory, traces):
    """As h5py writes it: gzip, shuffled, chunks of 1 MiB."""
    path = tmp_path_factory.mktemp("rivals") / "traces.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=traces, chunks=(16384, 32), compression="gzip", shuffle=True)
    return path


# ---------------------------------------------------------------- one compressed dataset, read whole


def by_h5py(path):
    with h5py.File(path) as file:
        return file["raw"][...]


def by_thread_pool(path):
    with thread_pool.enabled():
        return by_h5py(path)


def by_hidefix(path):
    hidefix = pytest.importorskip("hidefix")
    return np.asarray(hidefix.Index(path).dataset("raw")[:, :])


def by_pyfive(path):
    pyfive = pytest.importorskip("pyfive")
    with pyfive.File(str(path)) as file:
        return np.asarray(file["raw"][...])


def by_virtualizarr(path, codecs=None):
    pytest.importorskip("virtualizarr")
    zarr = pytest.importorskip("zarr", "3")
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser

    store = HDFParser()(f"file://{path}", ObjectStoreRegistry({"file://": LocalStore()}))
    with zarr.config.set({"codec_pipeline.path": codecs} if codecs else {}):
        return zarr.open_group(store, mode="r")["raw"][...]


READERS = {
    "h5py": by_h5py,
    "thread pool": by_thread_pool,
    "hidefix": by_hidefix,
    "pyfive": by_pyfive,
    "virtualizarr": by_virtualizarr,
}


@pytest.mark.parametrize("rival", READERS)
def test_read_whole(benchmark, recording, rival):
    def ours():
        with h5burst.open(recording) as file:
            return file["raw"][...]

    READERS[rival](recording)  # skips ahead of the first round
    name = rival if rival in ("thread pool",) else other_of(rival)
    versus(benchmark, ours, partial(READERS[rival], recording), other_name=name, same=np.array_equal)


@pytest.mark.parametrize("rival", READERS)
def test_read_a_window(benchmark, recording, rival):
    """30 000 rows at ten places, the file opened once."""
    starts = [ROWS // 11 * k for k in range(1, 11)]
    with h5burst.open(recording) as ours, h5py.File(recording) as file:
        if rival == "hidefix":
            dataset = pytest.importorskip("hidefix").Index(recording).dataset("raw")
        elif rival == "pyfive":
            dataset = pytest.importorskip("pyfive").File(str(recording))["raw"]
        elif rival == "virtualizarr":
            pytest.skip("reads in the same way as zarr")
        else:
            dataset = file["raw"]

        def by_rival():
            if rival == "thread pool":
                with thread_pool.enabled():
                    return [dataset[a : a + 30_000] for a in starts]
            return [dataset[a : a + 30_000, :] for a in starts]  # hidefix wants both axes

        array = ours["raw"]
        name = rival if rival in ("thread pool",) else other_of(rival)
        versus(
            benchmark, lambda: [array[a : a + 30_000] for a in starts], by_rival, other_name=name, same=np.array_equal
        )


# ---------------------------------------------------------------- written and read as each does it best


@pytest.mark.parametrize("pipeline", ["default", "zarrs"])
@pytest.mark.parametrize("work", ["write", "read"])
def test_zarr(benchmark, tmp_path, traces, pipeline, work):
    """Zarr 3 with its default codec (zstd), against a save with zstd; each stores bytes as it chooses."""
    zarr = pytest.importorskip("zarr", "3")
    options = {}
    if pipeline == "zarrs":
        pytest.importorskip("zarrs")
        options = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
    store, path = tmp_path / "traces.zarr", tmp_path / "traces.h5"

    def write_theirs():
        with zarr.config.set(options):
            zarr.create_array(str(store), data=traces, chunks=(16384, 32), overwrite=True)

    def write_ours():
        h5burst.save(path, {"raw": traces}, compression="zstd", overwrite=True)

    def read_theirs():
        with zarr.config.set(options):
            return zarr.open_array(str(store), mode="r")[...]

    write_theirs()
    write_ours()
    size = sum(part.stat().st_size for part in store.rglob("*") if part.is_file())
    ours, theirs = {"write": (write_ours, write_theirs), "read": (lambda: h5burst.load(path)["raw"], read_theirs)}[work]
    name = other_of("zarr") + (f", {other_of('zarrs')}" if pipeline == "zarrs" else "")
    versus(
        benchmark,
        ours,
        theirs,
        other_name=name,
        same=np.array_equal if work == "read" else None,
        size_ratio=path.stat().st_size / size,
    )


# ---------------------------------------------------------------- where every chunk of 21 000 datasets is


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("rivals") / "many.h5"
    rng = np.random.default_rng(1)
    tree = {f"unit_{n:04}": {f"trial_{k:02}": rng.integers(0, 99, 50 + k) for k in range(21)} for n in range(GROUPS)}
    h5burst.save(path, tree)
    return path


def scan_ours(path):
    found = {}

    def look(name, node):
        if isinstance(node, h5burst.LazyArray):
            found[name] = node.shape, str(node.dtype)

    with h5burst.open(path) as file:
        file.visititems(look)
    return found


def scan_h5py(path):
    found = {}

    def look(name, node):
        if isinstance(node, h5py.Dataset):
            found[name] = node.shape, str(node.dtype)

    with h5py.File(path) as file:
        file.visititems(look)
    return found


def scan_pyfive(path):
    found = {}
    pyfive = pytest.importorskip("pyfive")

    def look(name, node):
        if isinstance(node, pyfive.Dataset):
            found[name.strip("/")] = node.shape, str(node.dtype)

    with pyfive.File(str(path)) as file:
        file.visititems(look)
    return found


def scan_kerchunk(path):
    hdf = pytest.importorskip("kerchunk.hdf")
    made = hdf.SingleHdf5ToZarr(str(path), inline_threshold=0).translate()
    return {key.removesuffix("/.zarray"): None for key in made["refs"] if key.endswith("/.zarray")}


SCANNERS = {"h5py": scan_h5py, "pyfive": scan_pyfive, "kerchunk": scan_kerchunk}


@pytest.mark.parametrize("rival", SCANNERS)
def test_scan(benchmark, many, rival):
    versus(
        benchmark,
        partial(scan_ours, many),
        partial(SCANNERS[rival], many),
        other_name=other_of(rival),
        same=lambda a, b: a.keys() == b.keys(),
        rounds=3,
        datasets=GROUPS * 21,
    )


# ---------------------------------------------------------------- a far file


class _Far(BaseHTTPRequestHandler):
    """A server of one file that takes a while to answer, and counts."""

    protocol_version = "HTTP/1.1"
    data = b""
    requests = 0

    def _answer(self, with_body):
        type(self).requests += 1
        time.sleep(LATENCY_S)
        start, stop = 0, len(self.data)
        wanted = self.headers.get("Range")
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            start = int(first) if first else len(self.data) - int(last)
            stop = min(int(last) + 1, len(self.data)) if last and first else len(self.data)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(self.data)}")
        self.end_headers()
        if with_body:
            self.wfile.write(memoryview(self.data)[start:stop])

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def far(recording):
    _Far.data = recording.read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Far)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/traces.h5"
    server.shutdown()


def far_remfile(url):
    remfile = pytest.importorskip("remfile")
    with h5py.File(remfile.File(url)) as file:
        return file["raw"][ROWS // 2 : ROWS // 2 + 30_000]


def far_lindi(url):
    pytest.importorskip("lindi", exc_type=ImportError)
    import lindi

    return lindi.LindiH5pyFile.from_hdf5_file(url)["raw"][ROWS // 2 : ROWS // 2 + 30_000]


def far_pyfive(url):
    pyfive = pytest.importorskip("pyfive")
    with fsspec.open(url) as stream, pyfive.File(stream) as file:
        return file["raw"][ROWS // 2 : ROWS // 2 + 30_000]


def far_fsspec(url):
    with fsspec.open(url) as stream, h5py.File(stream) as file:
        return file["raw"][ROWS // 2 : ROWS // 2 + 30_000]


FAR = {"remfile": far_remfile, "lindi": far_lindi, "pyfive": far_pyfive, "fsspec": far_fsspec}


@pytest.mark.parametrize("rival", FAR)
def test_far_window(benchmark, far, rival):
    """A far file is opened and 30 000 rows are read; each request takes 20 ms."""

    def ours():
        with fsspec.open(far) as stream, h5burst.open(stream) as file:
            return file["raw"][ROWS // 2 : ROWS // 2 + 30_000]

    counts = []
    for call in (ours, partial(FAR[rival], far)):
        before = _Far.requests
        call()
        counts.append(_Far.requests - before)
    versus(
        benchmark,
        ours,
        partial(FAR[rival], far),
        other_name=other_of(rival) + (" and h5py" if rival in ("remfile", "fsspec") else ""),
        same=np.array_equal,
        our_requests=counts[0],
        their_requests=counts[1],
    )
