"""State of the installation on this machine: versions, compiled code, threads, locks, disks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import h5burst
from h5burst import codecs
from h5burst.memory.budget import format_bytes, memory_budget
from h5burst.memory.scratch import DIRECTORY_VARIABLE
from h5burst.runtime import durable, locks, simd
from h5burst.runtime.threads import thread_count

PACKAGES = ("h5burst", "hdmea", "scpstore", "scptensor")
_DISTRIBUTION = "h5burst"
_LIBRARIES = (
    "numpy",
    "scipy",
    "polars",
    "numba",
    "isal",
    "deflate",
    "hdf5plugin",
    "anndata",
    "pynwb",
    "fsspec",
    "dask",
)
# The newest release of each whose interface other releases may change, with which the tests were run.
_NEWEST_TRIED = {"anndata": (0, 13), "numpy": (2,), "h5py": (3,), "polars": (2,), "pynwb": (4,)}
_TRIED_BYTES = 64 << 20  # written to and read from a disk


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    problem: what is wrong with it and what to do; warning: what may be wrong; "" where nothing is.
    """

    topic: str
    name: str
    value: str
    problem: str = ""
    warning: str = ""


def examine(directory: str | os.PathLike[str] = ".") -> list[Finding]:
    """Look at this installation, and at a directory where files are to be.

    Parameters
    ----------
    directory
        A directory that can be written to: locks, renames and the speed of the disk are tried there with files that
        are removed again.

    Returns
    -------
    list of Finding
        In the order in which they are shown; those with a problem say what to do.
    """
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions, _machine, _compiled, _codecs, _owners, _writable, lambda: _disk(Path(directory)),
    )  # fmt: skip
    return [finding for look in looks for finding in look()]


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "h5burst", f"{h5burst.__version__} in {Path(h5burst.__file__).parent}")
    yield Finding("versions", "Python", f"{platform.python_version()} ({sys.executable})")
    import h5py

    value = f"{h5py.__version__} with HDF5 {h5py.version.hdf5_version}"
    yield Finding("versions", "h5py", value, warning=_untried("h5py", h5py.__version__))
    for name in _LIBRARIES:
        try:
            release = metadata.version(name)
            yield Finding("versions", name, release, warning=_untried(name, release))
        except metadata.PackageNotFoundError:
            yield Finding("versions", name, "not installed")


def _untried(name: str, release: str) -> str:
    """A remark on a release that is newer than those the tests were run with; "" of others."""
    newest = _NEWEST_TRIED.get(name)
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[: len(newest or ())])
    if newest is None or numbers <= newest:
        return ""
    tried = ".".join(map(str, newest))
    return f"release {release} is newer than the newest that was tried, {tried}: if something fails, install that one"


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "system", f"{platform.platform()}")
    try:
        yield Finding("machine", "threads", f"{thread_count()} of {os.cpu_count()} CPUs")
    except ValueError as error:
        yield Finding("machine", "threads", "?", f"{error}: correct H5BURST_NUM_THREADS")
    try:
        yield Finding("machine", "memory budget", format_bytes(memory_budget()))
    except ValueError as error:
        yield Finding("machine", "memory budget", "?", f"{error}: correct the environment variable")
    compiler = next((path_ for name in ("cc", "gcc", "clang") if (path_ := shutil.which(name))), None)
    yield Finding("machine", "C compiler", compiler or "none: needed only to build from source")


def _compiled() -> Iterator[Finding]:
    try:
        yield Finding("compiled", "instructions", f"{simd.active()} of {', '.join(simd.available())}")
    except ValueError as error:
        yield Finding("compiled", "instructions", "?", f"{error}: correct or unset {simd.VARIABLE}")
    compiled_in = Path(h5burst.__file__).parent / "_ext"
    suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    modules = sorted(path.name.removesuffix(suffix) for path in compiled_in.glob(f"*{suffix}"))
    broken = [name for name in modules if not _imports(f"h5burst._ext.{name}")]
    problem = "install h5burst again: its compiled modules do not fit this Python" if broken or not modules else ""
    value = f"{len(modules)} modules" + (f", of which {', '.join(broken)} cannot be imported" if broken else "")
    yield Finding("compiled", "modules", value, problem)


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _codecs() -> Iterator[Finding]:
    yield Finding("codecs", "write and read", ", ".join(codecs.names()))
    is_there = importlib.util.find_spec("hdf5plugin") is not None
    more = "all that hdf5plugin brings" if is_there else "none"
    problem = "" if is_there else "install hdf5plugin to read files compressed by blosc2, bitshuffle, zfp and others"
    yield Finding("codecs", "read beside these", more, problem)


# ---------------------------------------------------------------- who owns the packages


def _owners() -> Iterator[Finding]:
    """Other distributions that own files of the same names: pip puts one over the other without a word."""
    owners = _distributions_of_packages()
    home = Path(h5burst.__file__).resolve().parents[1]
    for name in PACKAGES:
        distributions = sorted(set(owners.get(name, [])))
        other_owners = [other for other in distributions if other != _DISTRIBUTION]
        package_dir = _place(name)
        value = f"{package_dir or 'not installed'}" + (
            f" (owned by {', '.join(distributions)})" if distributions else ""
        )
        yield Finding("packages", name, value, _owner_problem(name, other_owners, package_dir, home))
    for name in ("hdmea", "scptensor"):
        version = _installed(name)
        if version is not None and not any(name in owners.get(package, []) for package in PACKAGES):
            advice = f"an earlier {name} {version} is installed, too: pip uninstall {name}, then install h5burst again"
            yield Finding("packages", f"distribution {name}", version, advice)


def _distributions_of_packages() -> dict[str, list[str]]:
    """By package the distributions that have it; Python 3.10 itself knows only those with a list, `top_level.txt`."""
    distributions = metadata.packages_distributions()
    owners = {name: list(distributions.get(name, [])) for name in PACKAGES}
    for distribution in metadata.distributions():
        if distribution.read_text("top_level.txt") is None:
            for name in {file.parts[0] for file in distribution.files or ()} & set(PACKAGES):
                owners[name].append(distribution.metadata["Name"])
    return owners


def _owner_problem(name: str, other_owners: list[str], directory: Path | None, home: Path) -> str:
    if other_owners:
        again = "then install h5burst again"
        if name == "scptensor":
            again += ", or keep both: build h5burst with H5BURST_WITHOUT_SCPTENSOR=1 and use scpstore.accelerate()"
        return (
            f"{', '.join(other_owners)} brings a package {name}, too: pip uninstall {' '.join(other_owners)}, {again}"
        )
    if directory is not None and directory.parent != home:
        return f"another {name} comes first on the path: remove {directory}, or start where it is not found"
    return ""


def _place(name: str) -> Path | None:
    """The directory of a package, without importing it."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


# ---------------------------------------------------------------- directories


def _writable() -> Iterator[Finding]:
    scratch = os.environ.get(DIRECTORY_VARIABLE, "").strip()
    places = [("temporary files", tempfile.gettempdir())]
    if scratch:
        places.append((f"scratch files ({DIRECTORY_VARIABLE})", scratch))
    if numba := os.environ.get("NUMBA_CACHE_DIR", "").strip():
        places.append(("compiled helpers of features (NUMBA_CACHE_DIR)", numba))
    for name, directory in places:
        is_good = os.path.isdir(directory) and os.access(directory, os.W_OK)
        problem = "" if is_good else f"cannot be written to: make {directory}, or set another"
        yield Finding("directories", name, directory, problem)


def _disk(directory: Path) -> Iterator[Finding]:
    """Try locks, links and the speed in a directory."""
    if not directory.is_dir():
        yield Finding("disk", "directory", str(directory), "is not a directory: give one with --directory")
        return
    try:
        with durable.temporary_directory(".h5burst-doctor-", directory) as temporary:
            free = format_bytes(shutil.disk_usage(directory).free)
            yield Finding("disk", "directory", f"{directory.resolve()}, {free} free")
            yield _lock(temporary / "lock")
            yield _speed(temporary / "speed")
    except OSError as error:
        yield Finding("disk", "directory", str(directory), f"cannot be written to ({error.strerror}): choose another")


def _lock(path: Path) -> Finding:
    if not locks.are_used():
        return Finding("disk", "locks", "switched off by HDF5_USE_FILE_LOCKING", "two writers may lose data: unset it")
    descriptors = [os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2)]
    try:
        first, second = locks.try_exclusive(descriptors[0]), locks.try_exclusive(descriptors[1])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    if first is locks.Answer.GRANTED and second is locks.Answer.REFUSED:
        return Finding("disk", "locks", "work")
    return Finding("disk", "locks", "do not work here", "let one program at a time write a file, or use a local disk")


def _speed(path: Path) -> Finding:
    block = os.urandom(1 << 20)
    start = time.perf_counter()
    with open(path, "wb", buffering=0) as stream:
        for _ in range(_TRIED_BYTES // len(block)):
            stream.write(block)
        os.fsync(stream.fileno())
    seconds = time.perf_counter() - start
    return Finding("disk", "writing", f"{_TRIED_BYTES / seconds / 1e6:.0f} MB/s, flush included")
