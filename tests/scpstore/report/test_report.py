"""The page of a container: what it shows is the container's, in a browser and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from h5burst import console
from scpstore import AggregationLink, Assay, MaskCode, ScpContainer, ScpMatrix
from scpstore.cli import app
from scpstore.core.exceptions import ScpTensorError
from scpstore.report import write_report
from scpstore.report.layers import figures_of
from support.browser import accessibility_faults, data_of, downloaded, fits, go_to, opened

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
NAN = float("nan")
SECTIONS = ("overview", "assay=0", "assay=1", "samples", "history")


def container() -> ScpContainer:
    """Three samples; four proteins of which five values are missing, and two peptides in a sparse layer."""
    values = np.array([[1.0, NAN, 3.0, 0.0], [NAN, NAN, 30.0, 4.0], [100.0, NAN, NAN, 8.0]])
    mask = np.where(np.isnan(values), MaskCode.LOD, MaskCode.VALID).astype(np.int8)
    peptides = sp.csr_matrix(np.array([[0.0, 2.0], [0.0, 0.0], [5.0, 6.0]]))
    proteins = pl.DataFrame({"_index": ["p1", "p2", HOSTILE, "p4"], "gene": ["a", HOSTILE, None, "d"]})
    obs = pl.DataFrame({"_index": ["s1", HOSTILE, "s3"], "batch": ["x", "y", HOSTILE], "size": [1.5, NAN, 3.0]})
    assays = {
        HOSTILE: Assay(proteins, {HOSTILE: ScpMatrix(values, mask)}),
        "peptides": Assay(pl.DataFrame({"_index": ["q1", "q2"]}), {"X": ScpMatrix(peptides)}),
    }
    link = AggregationLink("peptides", HOSTILE, pl.DataFrame({"source_id": ["q1"], "target_id": ["p1"]}))
    made = ScpContainer(obs, assays, [link])
    made.log_operation(HOSTILE, {HOSTILE: 2}, description=HOSTILE, software_version="7.1")
    return made


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    container().save(directory / "cells.h5")
    return write_report(directory / "cells.h5")


@pytest.fixture
def page(chromium: Any, page_file: Path) -> Iterator[Any]:
    with opened(chromium, page_file) as shown:
        yield shown


def columns_of(part: dict[str, Any]) -> dict[str, list[Any]]:
    return {one["name"]: one["values"] for one in part["columns"]}


def test_figures_are_the_containers(page_file: Path) -> None:
    found = data_of(page_file, "container")
    samples = columns_of(found["samples"])
    assert samples[f"{HOSTILE}/{HOSTILE}/missing"] == [25, 50, 50]
    assert samples[f"{HOSTILE}/{HOSTILE}/zeros"] == [1, 0, 0]
    assert samples[f"{HOSTILE}/{HOSTILE}/median"] == [1, 17, 54]
    assert samples["peptides/X/missing"] == [50, 100, 0]
    assert samples["peptides/X/median"] == [2, None, 5.5]
    assert samples["size"] == [1.5, None, 3]
    proteins, peptides = found["assays"]
    features = columns_of(proteins)
    assert features[f"{HOSTILE}/missing"] == pytest.approx([100 / 3, 100, 100 / 3, 0])
    assert features[f"{HOSTILE}/mean"] == [50.5, None, 16.5, 4]
    (layer,) = proteins["layers"]
    assert (layer["there"], layer["values"], layer["zeros"], layer["low"], layer["high"]) == (7, 12, 1, 0, 100)
    assert dict(layer["codes"]) == {code.name: {"VALID": 7, "LOD": 5}.get(code.name, 0) for code in MaskCode}
    assert sum(layer["counts"]) == 7
    assert peptides["layers"][0]["codes"] is None
    assert (peptides["layers"][0]["stored"], peptides["layers"][0]["there"]) == ("float64, csr", 3)
    assert found["links"] == [["peptides", HOSTILE, 1]]
    ((_, *step),) = found["history"]
    assert step == [HOSTILE, "7.1", HOSTILE, json.dumps({HOSTILE: 2})]


matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    elements=st.one_of(st.just(NAN), st.just(0.0), st.just(np.inf), st.floats(-1e6, 1e6), st.floats(1e-9, 1e9)),
)


@given(matrices, st.booleans())
def test_figures_of_any_layer(values: np.ndarray, sparse: bool) -> None:
    found = figures_of(ScpMatrix(sp.csr_matrix(values) if sparse else values))
    there = np.isfinite(values) & ((values != 0) if sparse else True)
    assert [one.tolist() for one in found.missing] == [(~there).sum(1).tolist(), (~there).sum(0).tolist()]
    for row, median in zip(np.where(there, values, NAN), found.median, strict=True):
        expected = np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else NAN
        np.testing.assert_equal(median, expected)
    for column, mean in zip(np.where(there, values, NAN).T, found.mean, strict=True):
        expected = column[np.isfinite(column)].mean() if np.isfinite(column).any() else NAN
        np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-6)
    drawn = there & (values > 0) if found.log else there
    assert found.counts.sum() == drawn.sum()
    if values.size:  # fewer rows and columns than the map has: a part each
        np.testing.assert_array_equal(found.map, there)


def test_a_page_of_many_rows_is_read_in_blocks(tmp_path: Path) -> None:
    """More than a block of rows; the map has fewer parts than the layer rows and columns."""
    values = np.random.default_rng(5).normal(10, 1, (3000, 500))
    values[:1500, :250] = NAN
    var, obs = (pl.DataFrame({"_index": [f"{kind}{i}" for i in range(n)]}) for kind, n in (("f", 500), ("s", 3000)))
    ScpContainer(obs, {"a": Assay(var, {"X": ScpMatrix(values)})}).save(tmp_path / "big.h5")
    found = data_of(write_report(tmp_path / "big.h5", tmp_path / "big.html"), "container")
    assert columns_of(found["samples"])["a/X/missing"] == [50] * 1500 + [0] * 1500
    layer = found["assays"][0]["layers"][0]
    assert layer["map"]["shape"] == [120, 240]
    assert sum(layer["counts"]) == layer["there"] == 3000 * 500 - 1500 * 250


def test_hostile_text_is_text(page: Any) -> None:
    assert page.locator("h1").inner_text() == "cells.h5"
    for section in SECTIONS:
        go_to(page, section)
        assert page.locator("main img, main script").count() == 0, section
    assert page.title() == "cells.h5"
    assert page.locator("main tbody td").first.inner_text() == HOSTILE  # the step of the history


def test_samples_sort_filter_and_are_taken_away(page: Any) -> None:
    page.get_by_role("link", name="Samples", exact=True).click()
    rows = page.locator("#samples tbody th")
    assert rows.all_inner_texts() == ["s1", HOSTILE, "s3"]
    page.locator("#samples th button", has_text="size").click()
    assert rows.all_inner_texts() == ["s1", "s3", HOSTILE]  # without a value: last
    page.locator("#samples-filter").fill("s3")
    assert rows.all_inner_texts() == ["s3"]
    _, (row,) = downloaded(page, "#samples-download")
    assert (row["sample"], row["batch"], row["peptides/X/missing"]) == ("s3", HOSTILE, "0")
    assert page.locator("figure circle").count() == 3  # the scatter, of all samples


def test_assays_follow_by_link_and_key(page: Any) -> None:
    page.get_by_role("link", name="peptides/X").click()
    page.locator("main h2", has_text="Assay peptides").wait_for()
    page.keyboard.press("k")
    page.locator("main h2", has_text=f"Assay {HOSTILE}").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("main h2", has_text="Assay peptides").wait_for()
    assert page.locator("#features1 tbody th").all_inner_texts() == ["q1", "q2"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_and_it_fits(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for width in (360, 800, 1500):
        page.set_viewport_size({"width": width, "height": 700})
        for section in SECTIONS:
            go_to(page, section)
            assert fits(page), (section, width)
            assert width != 360 or accessibility_faults(page) == [], section


def test_a_container_with_nothing_in_it(tmp_path: Path, chromium: Any) -> None:
    empty = ScpContainer(pl.DataFrame({"_index": pl.Series([], dtype=pl.String)}))
    bare = ScpContainer(pl.DataFrame({"_index": ["s"]}), {"a": Assay(pl.DataFrame({"_index": ["f"]}))})
    for number, one in enumerate((empty, bare)):
        with opened(chromium, write_report(one, tmp_path / f"{number}.html")) as page:
            for section in (*SECTIONS, "nothing such"):
                go_to(page, section)
                assert page.locator("main h2").count() >= 1


def test_what_is_not_a_report_is_not_replaced(tmp_path: Path) -> None:
    own = tmp_path / "a.html"
    own.write_text("mine")
    with pytest.raises(FileExistsError, match=r"a\.html"):
        write_report(container(), own)
    assert write_report(container(), own, overwrite=True) == own
    assert write_report(container(), own) == own  # a report is replaced
    with pytest.raises(ValueError, match="give the page's path"):
        write_report(container())
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "not there.h5")
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    with pytest.raises((ScpTensorError, OSError)):
        write_report(tmp_path / "broken.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "broken.h5"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    container().save(tmp_path / "cells.h5")
    words = ["report", str(tmp_path / "cells.h5")]
    assert console.run(app, words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cells.html'}\n"
    (tmp_path / "m_data.csv").write_text(",P1,P2\ns1,1.5,\ns2,-2.25,0.1\n")
    assert console.run(app, ["report", str(tmp_path / "m_data.csv"), "-o", str(tmp_path / "m.html"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"file": str(tmp_path / "m.html"), "bytes": (tmp_path / "m.html").stat().st_size}
    (tmp_path / "cells.html").write_text("mine")
    assert console.run(app, words) == 2
    assert "cells.html" in capsys.readouterr().err
    assert console.run(app, ["report", str(tmp_path)]) == 2
