"""Other projects' own test suites, with and without `h5burst.auto`: the same tests must pass, fail and skip.

    python tests/peer_suites.py [h5py anndata hdmf pynwb h5netcdf] [--work DIRECTORY]

h5py brings its tests in its wheel; those of the others come from the source of the installed version, which pip
downloads from PyPI. The requirements of their tests are not installed: what is skipped for want of one is skipped both
times. Exits with 1 when a test ends differently, or when `h5burst.auto` took nothing over.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

# Name -> directory of the tests in its source, and what pytest is told beside it.
SUITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "h5py": ("", ("--pyargs", "h5py.tests")),
    "anndata": ("tests", ()),
    "hdmf": ("tests/unit", ()),
    "pynwb": ("tests/unit tests/integration/hdf5 tests/back_compat", ()),
    "h5netcdf": ("h5netcdf/tests", ()),
}
# Tests that look at compressed bytes, which another encoder makes: of gzip, and of a chunk of one element, which h5py's
# lzf cannot make smaller and ours can, where pyfive then wants a package for lzf. Both are below the usual threshold.
OF_COMPRESSED_BYTES = frozenset(
    {
        "TestReadDirectChunk::test_read_compressed_offsets",
        "::test_invalid_netcdf_okay[w:h5py-r:pyfive]",
    }
)
OUTCOMES = ("failure", "error", "skipped")
THRESHOLD = "1"  # byte from which on reads and writes are taken over here: data of tests are small


def source_of(name: str, work: Path) -> Path:
    """The unpacked source of the installed version."""
    release = version(name)
    target = work / f"{name}-{release}"
    if not target.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", name, "--no-deps"]
        subprocess.run([*pip, "-d", str(work), f"{name}=={release}"], check=True)
        (archive,) = work.glob(f"{name}-{release}.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(work, filter="data")
    return target


def outcomes(name: str, arguments: tuple[str, ...], place: Path, work: Path, *, is_auto: bool) -> dict[str, str]:
    """How each test ended."""
    report = work / f"{name}-{'auto' if is_auto else 'alone'}.xml"
    environment = {**os.environ, "H5BURST_AUTO_THRESHOLD": THRESHOLD, "H5BURST_AUTO": "report"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    if is_auto:
        command += ["-p", "h5burst.auto"]
    log = report.with_suffix(".log")
    with open(log, "w", encoding="utf-8") as stream, tempfile.TemporaryDirectory(dir=work) as scratch:
        subprocess.run(
            [*command, f"--junitxml={report}", f"--basetemp={scratch}/tests"],
            cwd=place, env=environment, stdout=stream, stderr=stream, check=False,
        )  # fmt: skip
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kind = next((outcome for outcome in OUTCOMES if case.find(outcome) is not None), "passed")
        found[f"{case.get('classname')}::{case.get('name')}"] = kind
    return found


def report_of(work: Path, name: str) -> str:
    """What `h5burst.auto` says that it has taken over."""
    text = (work / f"{name}-auto.log").read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if "taken over:" in line]
    return "; ".join(lines[-2:])


def compare(name: str, work: Path) -> bool:
    """Run one suite both ways, print the counts and what differs. Whether nothing does."""
    directory, arguments = SUITES[name]
    place = source_of(name, work) if directory else work
    chosen = (*directory.split(), *arguments)
    alone = outcomes(name, chosen, place, work, is_auto=False)
    auto = outcomes(name, chosen, place, work, is_auto=True)
    tests = (alone.keys() | auto.keys()) - {test for test in alone if test.endswith(tuple(OF_COMPRESSED_BYTES))}
    different = sorted(test for test in tests if alone.get(test) != auto.get(test))
    taken = report_of(work, name)
    print(f"{name} {version(name)}: {dict(Counter(alone.values()))} alone, {dict(Counter(auto.values()))} with auto")
    print(f"  {taken}")
    for test in different:
        print(f"  {test}: {alone.get(test, 'not run')} alone, {auto.get(test, 'not run')} with auto", flush=True)
    return bool(alone) and not different and "taken over: 0," not in taken.split(";")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SUITES), metavar="name", help=", ".join(SUITES))
    parser.add_argument("--work", type=Path, help="directory of sources, reports and logs; kept (default: a new one)")
    given = parser.parse_args()
    work = (given.work or Path(tempfile.mkdtemp(prefix="peer_suites"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    print(f"in {work}")
    return 0 if all([compare(name, work) for name in given.names]) else 1


if __name__ == "__main__":
    sys.exit(main())
