"""The table of recordings, and its pictures, against the recordings themselves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from h5burst.console import run
from hdmea.cli import app
from hdmea.pipeline import PipelineSession, run_flow
from hdmea.population.activity import activity_table, plot_by_age
from hdmea.spontaneous import waves_of
from support import simulated_waves as made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ages")
    found = []
    for age in (9, 5):
        simulated = made.simulate_waves(made.array_60(), 400.0, age)
        path = directory / f"P{age}.h5"
        meta = {"age": age, "key": f"Lab{age}", "genotype": "wt"}
        made.write_wave_file(path, simulated.trains_s, simulated.positions_um, 400.0, **meta)
        few = {"measure_synchrony": {"shifts": 2}}
        found.append(run_flow("waves", spikes_path=path, output_dir=directory / "out", parameters=few).hdf5_path)
    return found


def test_a_row_says_what_the_recording_says(files):
    table = activity_table(files)
    assert table["age"].to_list() == [5, 9]
    assert table["laboratory"].to_list() == ["Lab5", "Lab9"]
    assert table["condition"].to_list() == [None, None]
    for row, file in zip(table.iter_rows(named=True), reversed(files), strict=True):
        session = PipelineSession.load(file)
        counts = [len(unit["spike_times"]) for unit in session.units.values()]
        assert row["units"] == 60
        assert row["rate_hz"] == pytest.approx(np.median(counts) / 400)
        assert row["wave_count"] == len(waves_of(session)) > 0
        durations = [unit["features"]["bursts"]["data"]["burst_duration_s"] for unit in session.units.values()]
        assert row["burst_duration_s"] == pytest.approx(np.nanmedian(durations))


def test_measures_against_age_have_a_colour_a_laboratory(files):
    matplotlib_axes = plot_by_age(activity_table(files), ["wave_count", "sttc_mean"]).axes
    assert [one.get_title() for one in matplotlib_axes] == ["wave count", "sttc mean"]
    points = [line for line in matplotlib_axes[0].lines if line.get_marker() == "o"]
    assert sorted(line.get_xdata()[0] for line in points) == [5, 9]
    assert len({line.get_color() for line in points}) == 2
    assert len(plot_by_age(activity_table(files)).axes) > 10


def test_what_cannot_be_drawn_is_refused(files):
    with pytest.raises(ValueError, match="no recording of the table says its age"):
        plot_by_age(activity_table([]))
    with pytest.raises(ValueError, match="has no column other"):
        plot_by_age(activity_table(files), ["other"])


def test_the_command_writes_the_table_and_the_plots(files, tmp_path, capsys):
    table, plot = tmp_path / "ages.csv", tmp_path / "ages.svg"
    words = ["activity", *map(str, files), "-o", str(table), "--plot", str(plot)]
    assert run(app, words) == 0
    assert pl.read_csv(table)["age"].to_list() == [5, 9]
    assert "<svg" in plot.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(app, words) == 2  # both are there
    assert "--overwrite" in capsys.readouterr().err
    assert run(app, [*words, "--overwrite"]) == 0
