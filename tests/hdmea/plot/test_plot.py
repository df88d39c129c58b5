"""Pictures: what is drawn equals what was put in; empty and odd recordings say so in the axes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib (the extra 'plot')")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from hdmea import plot  # noqa: E402
from hdmea.pipeline import create_session  # noqa: E402
from hdmea.session.session import PipelineSession  # noqa: E402
from support.pictured import MOVIE, STA, UNIT, made  # noqa: E402

PICTURES = Path(__file__).parents[2] / "data" / "hdmea" / "pictures"


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture
def session(tmp_path: Path) -> PipelineSession:
    return made(tmp_path)


def of_unit(function: Callable[..., Any], *more: str) -> Callable[[Any], Any]:
    return lambda data: function(data, UNIT, *more)


ALL: dict[str, Callable[[Any], Any]] = {
    "raster": of_unit(plot.plot_raster, MOVIE),
    "psth": of_unit(plot.plot_psth, MOVIE),
    "sections": plot.plot_sections,
    "receptive_field": of_unit(plot.plot_receptive_field),
    "tuning": of_unit(plot.plot_tuning),
    "electrical_image": of_unit(plot.plot_electrical_image),
    "unit_map": lambda data: plot.plot_unit_map(data, {UNIT: 3.0}, name="rate (spikes/s)"),
    "rf_mosaic": plot.plot_rf_mosaic,
    "isi": of_unit(plot.plot_isi),
    "autocorrelogram": of_unit(plot.plot_autocorrelogram),
    "waveform": of_unit(plot.plot_waveform),
    "quality": plot.plot_quality,
}


def drawn(ax: Any) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())


def texts(ax: Any) -> str:
    return " ".join(text.get_text() for text in ax.texts)


def test_the_earlier_name_of_the_numbers_behind_pictures_warns() -> None:
    from hdmea.plot import content, figure_data

    with pytest.warns(DeprecationWarning, match="figure_data"):
        assert content.psth_of is figure_data.psth_of


def test_every_picture_is_listed() -> None:
    assert sorted(f"plot_{name}" for name in ALL) == plot.__all__


@pytest.mark.parametrize("name", ALL)
def test_a_file_gives_the_picture_of_its_session(name: str, session: PipelineSession) -> None:
    of_session = drawn(ALL[name](session)).astype(int)
    of_file = drawn(ALL[name](session.save())).astype(int)
    assert of_session.std() > 5  # something is drawn
    assert np.abs(of_session - of_file).mean() < 0.5


def thumbnail(ax: Any) -> np.ndarray:
    """The picture without its text, which is drawn otherwise by each version, in 90 x 68 grey pixels."""
    for text in ax.figure.findobj(matplotlib.text.Text):
        text.set_visible(False)
    ax.figure.set_layout_engine("none")
    ax.figure.set_dpi(100)
    grey = drawn(ax)[..., :3].astype(float).mean(axis=2)
    rows, columns = (n // 5 for n in grey.shape)
    return grey[: rows * 5, : columns * 5].reshape(rows, 5, columns, 5).mean(axis=(1, 3))


@pytest.mark.parametrize("name", ALL)
def test_pictures_are_as_they_were_looked_at(name: str, session: PipelineSession) -> None:
    """Differs from the stored picture by less than another picture does. `H5BURST_MAKE_PICTURES=1` stores them anew."""
    found = thumbnail(ALL[name](session))
    if os.environ.get("H5BURST_MAKE_PICTURES"):
        pyplot.imsave(PICTURES / f"{name}.png", found, cmap="gray", vmin=0, vmax=255)
    stored = {other: pyplot.imread(PICTURES / f"{other}.png")[..., 0] * 255 for other in ALL}
    assert found.shape == stored[name].shape
    off = {other: float(np.abs(found - one).mean()) for other, one in stored.items() if one.shape == found.shape}
    assert off.pop(name) < 3  # of 255
    assert min(off.values()) > 3


@pytest.mark.parametrize("name", ALL)
def test_a_unit_without_anything_says_so(name: str, tmp_path: Path) -> None:
    empty = create_session("empty", output_dir=tmp_path)
    empty.units[UNIT] = {"spike_times": np.empty(0, np.uint64)}
    ax = ALL[name](empty)
    drawn(ax)
    assert any(word in texts(ax) for word in ("no ", "fewer"))


@pytest.mark.parametrize("name", ["sections", "unit_map", "rf_mosaic", "quality"])
def test_a_recording_without_units(name: str, tmp_path: Path) -> None:
    ax = ALL[name](create_session("none", output_dir=tmp_path))
    assert "no " in texts(ax)


@pytest.mark.parametrize("name", ALL)
def test_odd_values_are_drawn_or_said(name: str, session: PipelineSession) -> None:
    """Not finite everywhere, wrong shapes, one spike."""
    unit = session.units[UNIT]
    unit["waveform"] = np.full(5, np.nan)
    unit["spike_times"] = np.array([5], np.uint64)
    unit["features"][STA]["data"] = np.full((4, 15, 15), np.nan)
    unit["features"][STA]["sta_geometry"]["sigma_minor"] = -1.0
    unit["features"]["eimage_sta"]["data"] = np.full((3, 20, 25), np.nan)
    unit["features"]["eimage_sta"]["geometry"] = {}
    unit["features"]["bar"]["data"]["tuning_curve"] = np.full(4, np.nan)
    unit["row"] = unit["col"] = -1
    session.stimulus["light_reference"] = {"raw_ch1": np.empty(0, np.float32)}
    ax = ALL[name](session)
    drawn(ax)
    expected = name in ("raster", "psth", "sections", "quality")
    assert bool(texts(ax)) != expected


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("receptive_field", "tuning")])
def test_both_axes_are_named(name: str, session: PipelineSession) -> None:
    ax = ALL[name](session)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("name", [name for name in ALL if name != "tuning"])
def test_given_axes_are_used(name: str, session: PipelineSession, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ax = pyplot.subplots()
    function = getattr(plot, f"plot_{name}")
    arguments = {"raster": (UNIT, MOVIE), "psth": (UNIT, MOVIE)}.get(name, (UNIT,))
    if name in ("sections", "unit_map", "rf_mosaic", "quality"):
        arguments = ()
    assert function(session, *arguments, ax=ax) is ax


def test_raster_has_each_spike_in_its_trial(session: PipelineSession) -> None:
    ax = plot.plot_raster(session, UNIT, MOVIE)
    first, second = (collection.get_positions() for collection in ax.collections)
    np.testing.assert_allclose(first, np.arange(200) / 100)
    np.testing.assert_allclose(second, np.arange(100) / 100)
    assert ax.get_xlim() == (0, 2)
    assert ax.get_title() == f"{UNIT}: {MOVIE}"


def test_psth_is_the_mean_over_trials(session: PipelineSession) -> None:
    ax = plot.plot_psth(session, UNIT, MOVIE, bin_s=0.5)
    *_, mean = ax.patches
    np.testing.assert_allclose(mean.get_data().values, [100, 100, 50, 50])
    spread = ax.patches[0].get_data()
    np.testing.assert_allclose(spread.values, [100, 100, 50 + 50 * 2**0.5, 50 + 50 * 2**0.5])
    np.testing.assert_allclose(spread.baseline, [100, 100, 0, 0])


def test_intervals_and_lags(session: PipelineSession) -> None:
    session.units[UNIT]["spike_times"] = np.array([0, 105, 210, 215], np.uint64)  # 10.5, 10.5 and 0.5 ms
    counts = plot.plot_isi(session, UNIT).patches[-1].get_data().values
    assert {i: int(c) for i, c in enumerate(counts) if c} == {0: 1, 10: 2}
    found = plot.plot_autocorrelogram(session, UNIT, longest_ms=20).patches[0].get_data()
    lags = {float(left): int(c) for left, c in zip(found.edges, found.values, strict=False) if c}
    assert lags == {-12.0: 1, -11.0: 2, -1.0: 1, 0.0: 1, 10.0: 2, 11.0: 1}


def test_field_and_its_ellipse(session: PipelineSession) -> None:
    ax = plot.plot_receptive_field(session, UNIT, frames=3)
    *frames, field, course = ax.child_axes
    assert len(frames) == 3
    stored = session.units[UNIT]["features"][STA]["data"]
    np.testing.assert_allclose(field.images[0].get_array(), stored[2])
    np.testing.assert_allclose(course.lines[0].get_ydata(), stored[:, 4, 9])
    (ellipse,) = field.patches
    assert (*ellipse.center, ellipse.width, ellipse.height) == (9, 4, 4, 2)
    assert ellipse.angle == pytest.approx(30)


def test_time_course_is_in_ms_where_the_file_tells(session: PipelineSession) -> None:
    """A window of four frames before the spike; a peak 2.5 frames, which are 125 ms, before it."""
    feature = session.units[UNIT]["features"][STA]
    feature["metadata"] = {"cover_range": (-4, 0)}
    course = plot.plot_receptive_field(session, UNIT).child_axes[-1]
    np.testing.assert_allclose(course.lines[0].get_xdata(), [-4, -3, -2, -1])
    assert course.get_xlabel() == "time from spike (frames)"
    feature["sta_geometry"] |= {"peak_lag_ms": 125.0, "peak_lag_frames": 2.5}
    course = plot.plot_receptive_field(session, UNIT).child_axes[-1]
    np.testing.assert_allclose(course.lines[0].get_xdata(), [-200, -150, -100, -50])
    assert course.get_xlabel() == "time from spike (ms)"


def test_mosaic_holds_every_fitted_field(session: PipelineSession) -> None:
    (ellipses,) = plot.plot_rf_mosaic(session).collections
    np.testing.assert_allclose(ellipses.get_offsets(), [[9, 4]])
    np.testing.assert_allclose(ellipses.get_angles(), [30])
    np.testing.assert_allclose([*ellipses.get_widths(), *ellipses.get_heights()], [4, 2])
    session.units[UNIT]["features"][STA]["sta_geometry"]["theta"] = np.nan  # a round field has no angle
    np.testing.assert_allclose(plot.plot_rf_mosaic(session).collections[0].get_angles(), [0])


def test_tuning_has_the_preferred_direction_and_its_interval(session: PipelineSession) -> None:
    ax = plot.plot_tuning(session, UNIT)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1, 8, 2, 0, 1])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), np.pi / 2)
    angles = np.degrees(ax.collections[0].get_paths()[0].vertices[:, 0])
    assert (angles.min(), angles.max()) == pytest.approx((90 - 19.6, 90 + 19.6))


def test_image_soma_and_axon(session: PipelineSession) -> None:
    ax = plot.plot_electrical_image(session, UNIT, waveforms=2)
    shown = ax.images[0].get_array()
    assert np.unravel_index(shown.argmax(), shown.shape) == (12, 8)
    axon, soma = ax.lines
    np.testing.assert_allclose(axon.get_xydata(), [[9, 12], [14, 13]])
    np.testing.assert_allclose(soma.get_xydata(), [[8, 12]])
    assert len(ax.collections[0].get_segments()) == 25


def test_map_takes_the_soma_else_the_electrode(session: PipelineSession) -> None:
    other = {"row": 3, "col": 5, "spike_times": np.empty(0, np.uint64)}
    session.units |= {"unit_001": other, "unit_002": {"row": -1, "col": -1}}
    hollow, coloured = plot.plot_unit_map(session, {UNIT: 3.0}, name="rate").collections
    np.testing.assert_allclose(coloured.get_offsets(), [[8, 12]])
    np.testing.assert_allclose(hollow.get_offsets(), [[4, 2]])
    ax = plot.plot_unit_map(session)
    assert ax.get_title() == "2 units (1 without a place)"
    assert ax.yaxis_inverted()


def test_sections_over_the_light(session: PipelineSession) -> None:
    ax = plot.plot_sections(session, bins=8)
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches] == [(0, 2), (2, 4)]
    (light,) = ax.collections
    top = light.get_paths()[0].vertices
    assert sorted(set(top[top[:, 1] == 5][:, 0])) == [3]
    drawn(ax)


def test_sections_leave_room_for_the_light(session: PipelineSession) -> None:
    times = np.array([[n, n + 1] for n in range(6)], np.uint64)
    session.add_stimulus({"section_time": {f"a_stimulus_with_a_long_name_{n}_3x": times[n : n + 1] for n in range(6)}})
    ax = plot.plot_sections(session)
    ax.figure.canvas.draw()
    assert ax.get_position().width > 0.5
    drawn(ax)


def test_quality_counts_units(session: PipelineSession) -> None:
    ax = plot.plot_quality(session, "rate")
    assert sum(patch.get_height() for patch in ax.patches) == 1
    assert ax.lines[0].get_xdata()[0] == 50  # 400 spikes in 8 s


def test_wrong_arguments(session: PipelineSession) -> None:
    with pytest.raises(KeyError, match="unit_000"):
        plot.plot_isi(session, "unit_999")
    with pytest.raises(FileNotFoundError):
        plot.plot_sections("not there.h5")
    with pytest.raises(ValueError, match="polar"):
        plot.plot_tuning(session, UNIT, ax=pyplot.subplots()[1])
    for call in (
        lambda: plot.plot_isi(session, UNIT, bin_ms=0),
        lambda: plot.plot_psth(session, UNIT, MOVIE, bin_s=-1),
        lambda: plot.plot_quality(session, "beauty"),
        lambda: plot.plot_receptive_field(session, UNIT, frames=0),
        lambda: plot.plot_electrical_image(session, UNIT, waveforms=-1),
        lambda: plot.plot_sections(session, bins=0),
    ):
        with pytest.raises(ValueError, match="must be"):
            call()
    with pytest.raises(AttributeError):
        plot.plot_beauty  # noqa: B018
