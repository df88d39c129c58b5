"""What a build says of a machine that cannot compile, and what the source distribution holds."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILDING = ROOT / "ext" / "building.py"
OF_ITSELF = {"MANIFEST.in", "README.md", "LICENSE", "pyproject.toml", "setup.py"}  # what a source distribution takes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A distribution of one empty extension, built as ours is."""
    pytest.importorskip("setuptools")
    if not BUILDING.exists():
        pytest.skip("needs the sources: ext/building.py")
    (tmp_path / "one.c").write_text("int one;\n")
    (tmp_path / "setup.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BUILDING.parent)!r})\n"
        "from building import BuildExtensions, BuildPackages\nfrom setuptools import Extension, setup\n"
        "setup(name='one', packages=['one'], ext_modules=[Extension('one', ['one.c'])],\n"
        "      cmdclass={'build_ext': BuildExtensions, 'build_py': BuildPackages})\n"
    )
    return tmp_path


def build(project: Path, compiler: str, command: str = "build_ext") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", command], cwd=project, env={**os.environ, "CC": compiler},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


ADVICE = ("sudo apt install gcc python3-dev", "conda install gcc_linux-64", "xcode-select --install")


def test_without_a_compiler_the_first_line_says_what_to_do(project: Path) -> None:
    done = build(project, "/no/compiler", "build")

    assert done.returncode == 1
    assert not (project / "build").exists()  # before any work
    first, *more = done.stderr.splitlines()
    assert first.startswith("h5burst: '/no/compiler', the C compiler, was not found: install one as below and run the")
    assert all(advice in "\n".join(more) for advice in ADVICE)


def test_where_the_compiler_fails_it_is_said_what_to_install(project: Path) -> None:
    done = build(project, "/no/compiler")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "'/no/compiler'" in done.stderr
    assert "if there is no compiler, install both as below and run the same command again" in done.stderr
    assert all(advice in done.stderr for advice in ADVICE)


def test_a_fault_in_a_source_is_shown_with_the_compilers_words(project: Path) -> None:
    (project / "one.c").write_text("#include <no_such_header.h>\n")
    done = build(project, os.environ.get("CC", "cc"))
    if "No such file or directory: " in done.stderr:
        pytest.skip("there is no C compiler")

    assert done.returncode == 1
    assert "no_such_header.h" in done.stderr
    assert "h5burst: the C compiler failed" in done.stderr


def test_what_is_left_out_is_not_taken_from_an_earlier_build(project: Path) -> None:
    for name in ("kept", "extra"):
        (project / "src" / name).mkdir(parents=True)
        (project / "src" / name / "__init__.py").touch()

    def packages(*names: str) -> set[str]:
        (project / "setup.py").write_text(
            f"import sys\nsys.path.insert(0, {str(BUILDING.parent)!r})\n"
            "from building import BuildPackages\nfrom setuptools import setup\n"
            f"setup(name='two', package_dir={{'': 'src'}}, packages={list(names)},\n"
            "      cmdclass={'build_py': BuildPackages})\n"
        )
        subprocess.run([sys.executable, "setup.py", "-q", "build_py"], cwd=project, check=True, capture_output=True)
        return {path.name for path in (project / "build" / "lib").iterdir()}

    assert packages("kept", "extra") == {"kept", "extra"}
    assert packages("kept") == {"kept"}


def test_the_source_distribution_holds_every_file() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (ROOT / "MANIFEST.in").exists():
        pytest.skip("needs a clone")
    rules = [line.split() for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()]
    assert {rule[0] for rule in rules} <= {"include", "recursive-include"}

    def taken(name: str) -> bool:
        if name in OF_ITSELF or name.startswith("src/"):
            return True
        return any(
            name in words if kind == "include" else name.startswith(f"{words[0]}/") and fits(name, words[1:])
            for kind, *words in rules
        )

    def fits(name: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatch(name.rpartition("/")[2], pattern) for pattern in patterns)

    assert [name for name in done.stdout.split() if not taken(name)] == []


def test_an_index_shows_no_link_that_leads_nowhere_there() -> None:
    pytest.importorskip("setuptools")
    if not BUILDING.exists():
        pytest.skip("needs the sources: ext/building.py")
    spec = importlib.util.spec_from_file_location("building", BUILDING)
    assert spec is not None
    assert spec.loader is not None
    building = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(building)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = building.description_elsewhere(readme)
    assert "docs/images" in readme
    assert "docs/images" not in shown
    assert re.findall(r"\]\((?!https://)", shown) == []
    assert shown.count("\n```") == readme.count("\n```")  # programs stay
    kept = "[far](https://example.org/a) and [near, on\ntwo lines](docs/a.md#b): x[0](1, 2)"
    assert building.description_elsewhere(kept) == "[far](https://example.org/a) and near, on\ntwo lines: x[0](1, 2)"


def test_the_build_with_sanitizers_makes_an_extension(tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    script = ROOT / "tests" / "sanitize.sh"
    if not BUILDING.exists() or shutil.which("gcc") is None:
        pytest.skip("needs the sources and GCC")
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(library.stdout.strip()).is_absolute():
        pytest.skip("GCC has no libasan")
    program = script.read_text(encoding="utf-8").split("<<'PYTHON'\n")[1].split("\nPYTHON\n")[0]
    assert '"*.pyx"' in program

    subprocess.run(
        [sys.executable, "-c", program.replace('"*.pyx"', '"simd.pyx"'), str(tmp_path)], cwd=ROOT, check=True
    )

    assert [path.name.partition(".")[0] for path in (tmp_path / "src").rglob("*.so")] == ["simd"]
