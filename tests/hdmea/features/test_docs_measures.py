"""docs/measures.md and docs/geometry.md define every value; the example of the first works."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea import geometry
from hdmea.features import FeatureRegistry
from hdmea.features.base import MEASURES_VERSION
from support.docs_examples import run_examples

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = DOCS / "measures.md"
SCALE = geometry.ImageScale(sampling_rate_hz=20_000, spike_sample=10, pitch_um=16)
ROW = re.compile(r"(?<!\\)\|")


def rows_of(page: Path) -> dict[str, dict[str, list[str]]]:
    """By section and value, the cells of its row in the tables that begin with "value | definition | unit | NaN"."""
    sections: dict[str, dict[str, list[str]]] = {}
    for part in page.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows, inside, columns = sections.setdefault(part.partition("\n")[0], {}), False, 0
        for line in part.splitlines():
            cells = [cell.strip() for cell in ROW.split(line.strip())[1:-1]]
            if cells[:4] == ["value", "definition", "unit", "NaN"]:
                inside, columns = True, len(cells)
            elif not cells:
                inside = False
            elif inside and not cells[0].startswith("-"):
                assert len(cells) == columns, line
                assert all(cells[:4]), line
                rows |= dict.fromkeys(re.findall(r"`(\w+)`", cells[0]), cells)
    return sections


@pytest.mark.parametrize("family", ["on_off", "chromatic", "moving_bar", "chirp", "baseline", "frif", "dense_noise"])
def test_every_value_has_definition_unit_nan_rule_and_source(family: str) -> None:
    sections = rows_of(PAGE)
    rows = {name: row for section in sections.values() for name, row in section.items()}
    section = next(part for title, part in sections.items() if f"(`{family}`)" in title)
    for name in FeatureRegistry.get(family).output_schema:
        step_of_light = re.fullmatch(r"(?:green|blue)_((?:on|off)_.+)", name)  # as a step of white light
        row = rows.get(name) or (step_of_light and rows.get(step_of_light[1]))
        assert row, name
        assert len(row) == 5
    assert section


def test_every_family_is_looked_at() -> None:
    families = {title for title in re.findall(r"\(`(\w+)`\)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)}
    names = {name for name in FeatureRegistry.list_all() if FeatureRegistry.get(name).__module__.startswith("hdmea.")}
    stimuli = {name for name in names if re.search(r"\d", name)}  # of a family, whose values they have
    assert families == names - stimuli


def records() -> dict[str, dict[str, Any]]:
    """By section of the page, all that is stored of it: records without a result have every name."""
    average = np.random.default_rng(0).normal(size=(60, 15, 15))
    axon = geometry.axon_record(geometry.Axon(axon_seen=False), SCALE)
    of_steps = {"unit_ids": [], "center_corrected_row": 0.0, "center_corrected_col": 0.0, "center_corrected_se": 0.0}
    soma = geometry.soma_record(geometry.soma_geometry(average[:, :8, :8], SCALE))
    head = geometry.head_record(geometry.NerveHead(status="none"), SCALE.pitch_um)
    map_of_chip = geometry.alignment_record(geometry.Alignment(valid=False, n=0))
    return {
        "Soma (": soma | {name: of_steps[name] for name in of_steps if name.startswith("center")},
        "Axon (": {name: part for name, part in axon.items() if name.startswith(("refined", "axon_initial"))}
        | axon["post_processed_data"] | axon["ap_pathway"],
        "Optic-nerve head (": head | axon["soma_polar_coordinates"] | {"unit_ids": [], "n_units": 0, "n_axons": 0},
        "Receptive field (": geometry.field_record(geometry.receptive_field(average), 1 / 60),
        "Second-order field (": geometry.second_order_record(
            geometry.second_order_fields(np.arange(400.0)[:, None, None] % 7 * np.ones((1, 3, 3)), [np.arange(9)])[0]
        ),
        "Linear-nonlinear model (": geometry.model_record(geometry.LNModel()),
        "Chip and stimulus (": map_of_chip | {"unit_ids": [], "bar_pixels_per_noise_pixel": 20.0},
    }  # fmt: skip


@pytest.mark.parametrize("start", list(records()))
def test_every_value_of_geometry_has_definition_unit_and_nan_rule(start: str) -> None:
    rows = next(part for title, part in rows_of(DOCS / "geometry.md").items() if title.startswith(start))
    text = " ".join(cell for row in rows.values() for cell in row)
    for name, value in records()[start].items():
        assert name in rows
        inner = {re.sub("^off_", "on_", one) for one in value} if isinstance(value, dict) else set()
        assert [one for one in inner if f"`{one}`" not in text] == []


def names_of_features() -> set[str]:
    """Of all values of all features that ship, those of green and of blue light as those of light."""
    families = {FeatureRegistry.get(name) for name in FeatureRegistry.list_all()}
    own = [one for one in families if one.__module__.startswith("hdmea.")]
    return {name for one in own for name in one.output_schema}


def rows_under(section: str) -> list[list[str]]:
    """The rows of all tables of a section of the page, without their heads."""
    part = PAGE.read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = part.splitlines()
    heads = {n for n, line in enumerate(lines) if line.startswith("|---")}
    rows = [line for n, line in enumerate(lines) if line.startswith("|") and not {n, n + 1} & heads]
    return [[cell.strip() for cell in ROW.split(line)[1:-1]] for line in rows]


def test_nothing_is_stated_as_an_error_that_was_not_measured() -> None:
    rows = rows_under("What stated errors cover")
    assert all(re.fullmatch(r"–|\d+, \d+ % of \d+", cell) for cells in rows for cell in cells[1:])
    measured = {name for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}
    known = {name for record in records().values() for name in (*record, *inner_names(record))} | names_of_features()
    stated = {name for name in known if re.search(r"_(se|ci95|low|high)(_(ms|um|deg))?$|^std_err$|^region_m", name)}
    alike = {re.sub("^(?:(?:green|blue)_)?(?:on|off)_", "on_", name) for name in stated}
    assert len(alike) > 20
    assert alike - measured == set()


def test_the_tables_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four cells a row: the same rows and columns, a share in every one of the same cells."""
    monkeypatch.syspath_prepend(DOCS.parent / "benchmarks")
    parts = importlib.import_module("stated_errors").PARTS
    stated = PAGE.read_text(encoding="utf-8").partition("## What stated errors cover\n")[2].partition("\n## ")[0]
    tables = [part.split("\n\n")[0].splitlines() for part in stated.split("\n\n| ")[1:]]
    assert len(tables) == len(parts)
    for (name, make), lines in zip(parts.items(), tables, strict=True):
        made = make(4)
        head, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
        assert head == [made.first, *made.columns], name
        assert [row[0] for row in rows] == list(made.rows), name
        for row in rows:
            shown = dict(zip(made.columns, row[1:], strict=True))
            assert {column for column, cell in shown.items() if cell != "–"} == set(made.rows[row[0]]), (name, row[0])


def test_every_value_is_in_the_list_of_when_not_to_trust_it() -> None:
    rows = rows_under("When not to trust a number")
    told = {name for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}
    assert all(len(cells) == 2 and len(cells[1]) > 20 for cells in rows)
    stored = {name if name in told else re.sub("^(green|blue)_(?=o)", "", name) for name in names_of_features()}
    assert stored - told == set()
    known = stored | {name for record in records().values() for name in (*record, *inner_names(record))}
    assert told <= known, told - known


def inner_names(record: dict[str, Any]) -> set[str]:
    return {name for value in record.values() if isinstance(value, dict) for name in value}


def test_version_is_that_of_the_page() -> None:
    assert f"**{MEASURES_VERSION}**" in PAGE.read_text(encoding="utf-8")
    assert FeatureRegistry.get("on_off").version == MEASURES_VERSION


def test_example_runs(tmp_path: Path) -> None:
    run_examples(PAGE, tmp_path)
