"""Modules of the user's own, by name and by file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.user_modules import import_modules, resolved_modules


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that notes how often it was run."""
    path = tmp_path / "counting_module.py"
    path.write_text("import builtins\nbuiltins.runs = getattr(builtins, 'runs', 0) + 1\n")
    monkeypatch.setattr("builtins.runs", 0, raising=False)
    yield path
    sys.modules.pop("counting_module", None)


def runs() -> int:
    import builtins

    return builtins.runs  # type: ignore[attr-defined, no-any-return]


def test_file_is_imported_once(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_modules([str(counting)])
    import_modules([str(counting)])
    monkeypatch.chdir(counting.parent)
    import_modules(["counting_module.py"])
    assert runs() == 1
    assert "counting_module" in sys.modules


def test_module_is_imported_by_name(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(counting.parent)
    import_modules(["counting_module"])
    assert runs() == 1


def test_files_are_resolved_for_workers_that_run_elsewhere(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(counting.parent)
    assert resolved_modules(["counting_module.py", "some.module"]) == (str(counting.resolve()), "some.module")


def test_what_cannot_be_imported_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_module cannot be imported: ModuleNotFoundError"):
        import_modules(["no_such_module"])
    with pytest.raises(ConfigurationError, match=r"missing\.py cannot be imported: FileNotFoundError"):
        import_modules([str(tmp_path / "missing.py")])
    broken = tmp_path / "broken_module.py"
    broken.write_text("1 / 0\n")
    with pytest.raises(ConfigurationError, match=r"broken_module\.py cannot be imported: ZeroDivisionError"):
        import_modules([str(broken)])
    assert "broken_module" not in sys.modules


@pytest.mark.parametrize(("ends", "code"), [("sys.exit(3)", "3"), ("sys.exit('no licence')", "no licence")])
def test_module_that_ends_the_process_is_named(tmp_path: Path, ends: str, code: str) -> None:
    path = tmp_path / "a_script.py"
    path.write_text(f"import sys\n{ends}\n")
    with pytest.raises(
        ConfigurationError, match=rf"a_script\.py cannot be imported: it ends .*code {code}\): put what"
    ):
        import_modules([str(path)])
    assert "a_script" not in sys.modules


def test_file_of_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text("")
    with pytest.raises(ConfigurationError, match="a module of the name json is imported already"):
        import_modules([str(path)])
