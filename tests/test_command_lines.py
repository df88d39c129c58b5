"""What all commands of all programs have in common: examples that run as their help has them, and common options."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import typer

import h5burst.cli
import hdmea.cli
import scpstore.cli
from h5burst import console

APPS = {"hdmea": hdmea.cli.app, "h5burst": h5burst.cli.app, "scptensor": scpstore.cli.app}
COMMANDS = [
    (program, name)
    for program, app in APPS.items()
    for name in typer.main.get_command(app).commands  # type: ignore[attr-defined, unused-ignore]
]
SLOW = {  # half a minute to two minutes each
    "hdmea demo",
    "hdmea demo --output-dir demo --units 100",
    "hdmea demo --full",
    "hdmea simulate chip --patch 65x65 --duration-s 1200 --sensor-s 10 --realistic",
    "h5burst bench",
    "h5burst bench --directory results --json",
}
ELSEWHERE = {
    "hdmea activity waves -o activity.parquet --plot by_age.png",  # two recordings with ages
    "hdmea batch spikes.csv -o waves --engine dask --scheduler tcp://head:8786",
    "hdmea population results -o population --engine dask --scheduler tcp://head:8786",
}
DIFFERENT = {  # what they look at differs or is damaged, or has no earlier state: exit code 1
    "h5burst undo results/simulated.h5",
    "scptensor undo cells.h5",
    "h5burst diff results/simulated.h5 results/again.h5",
    "h5burst salvage damaged.h5 saved.h5",
}

LIGHT = {  # in the place of commands that take seconds, where only their output is looked at
    "simulate": "simulate light --units 1 --patch 2x2 --movies baseline_127 --sensor-s 0 --overwrite",
    "run": "run --spikes spikes.h5 -o light --steps load_spikes --overwrite",
    "batch": "batch spikes.csv -o light --steps load_spikes",
}
ONCE = {"doctor", "export", "repack"}  # of which each run takes a second: only one example is tried with the options
REPLACING = {  # what a command needs to do the same once more
    **dict.fromkeys(("table", "activity", "export", "salvage", "convert", "repack"), ("--overwrite",)),
    "annotate": ("--force",),
}


def command_of(program: str, name: str) -> Any:
    return typer.main.get_command(APPS[program]).commands[name]  # type: ignore[attr-defined, unused-ignore]


def examples_of(program: str, name: str) -> list[str]:
    """The lines under "Examples:" in a command's help; those that are further in belong to the line before."""
    found: list[str] = []
    for paragraph in inspect.cleandoc(command_of(program, name).help or "").split("\n\n"):
        title, *lines = paragraph.strip("\b\n").splitlines()
        for line in lines if title == "Examples:" else ():
            if line.startswith("   "):
                found[-1] += f" {line.strip()}"
            else:
                found.append(line.strip())
    return found


# ---------------------------------------------------------------- examples


def given_files(directory: Path) -> None:
    """What the examples name and no example writes: spikes and a report of somebody's own, tables, facts, a feature."""
    with h5py.File(directory / "spikes.h5", "w") as file:
        file["spikes"] = np.sort(np.random.default_rng(0).uniform(0, 90, 200))
        file["sCount"] = [120, 80]
        file["summary/duration"] = [90.0]
    texts = {
        "recordings.csv": "cmcr,cmtr,playlist\nmade/simulated.cmcr,made/simulated.cmtr,simulated\n",
        "spikes.csv": "spikes\nspikes.h5\n",
        "animals.csv": "recording,age\nsimulated,61\nagain,61\nspikes,9\n",
        "celltypes.csv": "file,cell,type\nsimulated,unit_001,ON\nsimulated,unit_002,OFF\n",
        "animal.toml": 'start_time = "2024-05-01T10:30:00+02:00"\n[subject]\nsubject_id = "m7"\n'
        'species = "Mus musculus"\nsex = "F"\nage = "P70D"\n',
        "my_features.py": "from hdmea.features import FeatureExtractor, FeatureRegistry\n\n\n"
        '@FeatureRegistry.register("mine")\nclass Mine(FeatureExtractor):\n'
        "    def extract(self, unit_data, stimulus_data, config=None, metadata=None):\n"
        '        return {"spikes": len(unit_data["spike_times"])}\n',
        "report.tsv": "Run\tProtein.Group\tPG.MaxLFQ\tPG.Q.Value\nrun1\tP1\t1\t0.5\nrun2\tP1\t2\t0.001\n",
        "cells.csv": "run,type\nrun1,HeLa\nrun2,U-937\n",
        "plexDIA_data.csv": ",P1,P2\ncell1,1.0,2.0\ncell2,,4.0\n",
        "plexDIA_cells.csv": "cell,type\ncell1,HeLa\ncell2,U-937\n",
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def damage(source: Path, target: Path) -> None:
    """A copy with one byte of an array's data changed."""
    content = bytearray(source.read_bytes())
    spikes = h5burst.load(source)["units"]["unit_002"]["spike_times"].tobytes()
    content[content.index(spikes[:64]) + 20] ^= 0xFF
    target.write_bytes(content)


def words_of(example: str) -> list[str]:
    """An example's words as a shell passes them: without what follows ">", and with the files of a pattern."""
    words = shlex.split(example.partition(" > ")[0])
    return [name for word in words for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


def runnable() -> Iterator[str]:
    """Every example once; what reads comes after what writes, in the order of the commands."""
    for example in dict.fromkeys(example for program, name in COMMANDS for example in examples_of(program, name)):
        if ".nwb" in example and importlib.util.find_spec("pynwb") is None:
            continue
        if example not in SLOW | ELSEWHERE:
            yield example


@pytest.mark.timeout(900)
def test_examples_of_help_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given_files(tmp_path)
    tried: set[str] = set()  # commands with --json and --quiet
    for example in runnable():
        program, *words = words_of(example)
        if program == "h5burst" and not Path("damaged.h5").exists():
            damage(Path("results/simulated.h5"), Path("damaged.h5"))
        if program == "scptensor" and Path.cwd() == tmp_path:
            Path("proteins").mkdir()
            monkeypatch.chdir(tmp_path / "proteins")  # where "*.h5" means containers
            given_files(Path())
            Path("spikes.h5").unlink()
        if words[0] == "restore":  # a file that was never edited has no earlier state
            with h5burst.edit(words[1]) as tx:
                tx.set_attributes((), {"note": "an earlier state is left behind"})
        wanted = int(example in DIFFERENT)
        assert console.run(APPS[program], words) == wanted, f"{example}\n{capsys.readouterr()}"
        assert capsys.readouterr().out, f"{example} prints nothing"
        words = [*(LIGHT.get(words[0], "").split() or words), *REPLACING.get(words[0], ())]
        is_tried = ".nwb" in example or (words[0] in ONCE and words[0] in tried)
        options = () if is_tried else ("--quiet",) if "--csv" in words else ("--json", "--quiet")
        tried.update(words[:1] if options else ())
        for option in options:
            line = " ".join([program, *words, option])
            assert console.run(APPS[program], [*words, option]) == wanted, f"{line}\n{capsys.readouterr()}"
            printed = capsys.readouterr().out
            if "--json" in (option, *words):
                parts = printed.splitlines() if words[0] == "follow" else [printed]  # which has a line a commit
                assert all(json.loads(part) is not None for part in parts), line
            else:
                assert printed == "", line


def test_lists_of_examples_are_of_examples_that_there_are() -> None:
    every = {example for program, name in COMMANDS for example in examples_of(program, name)}
    assert every >= SLOW | ELSEWHERE | DIFFERENT


@pytest.mark.skipif(os.environ.get("H5BURST_WHOLE") != "1", reason="set H5BURST_WHOLE=1: several minutes, 3 GB of disk")
@pytest.mark.timeout(900)
def test_slow_examples_of_help_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    for example in sorted(SLOW):
        program, *words = words_of(example)
        assert console.run(APPS[program], words) == 0, example
        assert capsys.readouterr().out
    assert console.run(APPS["hdmea"], ["demo", "--json"]) == 0
    assert all(finding["as_true"] for finding in json.loads(capsys.readouterr().out)["findings"])
    assert console.run(APPS["hdmea"], ["demo", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_the_manifest_in_the_help_is_the_one_that_is_tried(tmp_path: Path) -> None:
    given_files(tmp_path)
    lines = [line.strip() for line in command_of("hdmea", "batch").help.splitlines()]
    rows = (tmp_path / "recordings.csv").read_text(encoding="utf-8").split()
    assert rows == lines[lines.index(rows[0]) :][: len(rows)]


# ---------------------------------------------------------------- options of all commands


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_command_explains_itself_and_has_the_common_options(
    capsys: pytest.CaptureFixture[str], program: str, name: str
) -> None:
    assert console.run(APPS[program], [name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert all(example.startswith(f"{program} ") for example in examples_of(program, name))
    assert any(example.startswith(f"{program} {name}") for example in examples_of(program, name))
    for option in ("--json", "--quiet", "--version", "--debug"):
        assert option in text
    assert console.run(APPS[program], [name, "--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["h5burst"] == h5burst.__version__


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_help_shows_what_the_source_says_of_each_option_brackets_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # so that no text is in several lines
    assert console.run(APPS[program], [name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    texts = [" ".join(one.help.replace("\\[", "[").split()) for one in command_of(program, name).params if one.help]
    assert texts
    assert [text for text in texts if text not in shown] == []


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_a_wrong_option_is_an_error_of_one_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert console.run(APPS[program], [name, "--nosuch"]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert [line for line in said.splitlines() if line.startswith("error: ")] == said.splitlines()
    assert "--nosuch" in said
    assert f"{program} {name} --help" in said


@pytest.mark.parametrize("module", ["hdmea", "h5burst", "scpstore", "scptensor"])
def test_modules_are_commands(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"h5burst {h5burst.__version__} ")


@pytest.mark.parametrize(
    ("program", "package"), [("hdmea", "hdmea"), ("h5burst", "h5burst"), ("scptensor", "scpstore")]
)
def test_shells_complete_commands(program: str, package: str) -> None:
    start = f"import sys; sys.argv[0] = {program!r}; from {package}.cli import main; sys.exit(main())"
    asked = {f"_{program.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": f"{program} ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", start], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [name for one, name in COMMANDS if one == program], done.stderr
