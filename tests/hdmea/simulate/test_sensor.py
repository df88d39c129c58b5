"""The chip and its sensor: places, axons, fields, noise, and that any part of the data is always the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.simulate import AlignmentOptions, AxonOptions, ChipOptions, NoiseOptions, SensorStream
from hdmea.simulate.chip import Layout, draw_alignment, draw_electrodes, draw_layout, draw_somata
from hdmea.simulate.sensor import Footprint, field, footprint, soma_shape, triphasic_shape

CHIP = (65, 65)
RATE = 20000.0


def layout_of(n_units: int = 20, patch: tuple[int, int] = CHIP, seed: int = 0, **axons: Any) -> Layout:
    return draw_layout(n_units, patch, ChipOptions(), AxonOptions(**axons), np.random.default_rng(seed))


def image_of(part: Footprint, patch: tuple[int, int] = CHIP) -> npt.NDArray[np.float64]:
    """A footprint as an array (samples, rows, columns)."""
    image = np.zeros((part.length, patch[0] * patch[1]))
    image[part.sample, part.electrode] = part.counts
    return image.reshape(-1, *patch)


# ---------------------------------------------------------------- places


def test_units_have_electrodes_of_their_own_while_there_are_enough() -> None:
    somata = draw_somata(12, (4, 3), np.random.default_rng(0))
    assert len(np.unique(somata, axis=0)) == 12
    assert len(draw_somata(30, (4, 3), np.random.default_rng(0))) == 30


def test_axons_begin_at_their_somata_and_meet_at_the_nerve_head() -> None:
    for head in ((-20.0, 90.0), (30.0, 31.0), None):
        layout = layout_of(seed=1, nerve_head=head)
        for unit in range(20):
            ends = layout.path(unit, np.array([0.0, layout.axon_length[unit]]))
            np.testing.assert_allclose(ends[0], layout.soma_xy[unit], atol=1e-6)
            np.testing.assert_allclose(ends[1], layout.nerve_head, atol=1e-6)
            steps = np.hypot(*np.diff(layout.path(unit, np.linspace(0, layout.axon_length[unit], 500)), axis=0).T)
            assert steps.sum() == pytest.approx(layout.axon_length[unit], rel=1e-3)
    assert np.hypot(*(layout.nerve_head - 32)) >= 50  # a drawn one is off the chip


def test_axons_are_slightly_curved_and_as_fast_as_real_ones() -> None:
    layout = layout_of(400, curvature=0.25)
    assert layout.axon_curvature.std() / 0.016 == pytest.approx(0.25, rel=0.2)  # radians/mm at 16 µm
    assert 0.3 <= layout.axon_speed.min() < 0.35
    assert 1.3 < layout.axon_speed.max() <= 1.5


def test_places_nearest_on_an_axon_are_the_nearest_of_its_points() -> None:
    layout = layout_of(6, seed=4)
    rng = np.random.default_rng(0)
    for unit in range(6):
        distance = np.linspace(0, layout.axon_length[unit], 20001)
        points = layout.path(unit, distance)
        inside = rng.uniform(0.1, 0.8, 20) * layout.axon_length[unit]
        near = layout.path(unit, inside) + rng.normal(0, 1, (20, 2))
        along, lateral = layout.nearest_on_path(unit, near[:, 0], near[:, 1])
        for place, s, d in zip(near, along, lateral, strict=True):
            away = np.hypot(*(points - place).T)
            assert d == pytest.approx(away.min(), abs=1e-3)
            assert s == pytest.approx(distance[away.argmin()], abs=0.05)


def test_visible_chord_is_what_the_chip_shows() -> None:
    layout = layout_of(30, seed=2, nerve_head=(130.0, 32.0))
    for unit in range(30):
        angle, length = layout.visible_chord(unit, CHIP, 0.002, 16.0)
        if length == 0:
            continue
        assert length * 16e-6 / layout.axon_speed[unit] <= 0.002 + 1e-9
        middle = layout.path(unit, np.array([0.0, length]))
        assert (np.abs(middle - 32) <= 32.5).all()
        bearing = np.arctan2(*(layout.nerve_head - layout.soma_xy[unit])[::-1])
        assert abs((angle - bearing + np.pi) % (2 * np.pi) - np.pi) < 0.6


def test_alignment_is_a_similarity_of_the_options() -> None:
    for seed in range(10):
        made = draw_alignment((65, 65), (15, 15), AlignmentOptions(), 16.0, np.random.default_rng(seed))
        gram = made.matrix.T @ made.matrix
        np.testing.assert_allclose(gram, np.eye(2) * 0.19**2, atol=1e-12)
        assert (np.linalg.det(made.matrix) < 0) == made.mirrored
        assert np.hypot(*(made.to_pixels(np.array([[32.0, 32.0]]))[0] - 7)) < 3
    plain = AlignmentOptions(rotation_deg=90.0, mirrored=False, shift_px=0.0)
    made = draw_alignment((65, 65), (15, 15), plain, 16.0, np.random.default_rng(0))
    np.testing.assert_allclose(made.to_pixels(np.array([[42.0, 32.0]])), [[7.0, 8.9]], atol=1e-9)


# ---------------------------------------------------------------- fields


def test_fields_fall_off_as_published() -> None:
    d = np.linspace(0, 8, 50)
    np.testing.assert_allclose(field(d, 1.2, False), np.exp(-(d**2) / (2 * 1.44)))
    np.testing.assert_allclose(field(d, 1.2, True), (1 + d**2 / 1.92**2) ** -1.5)


@pytest.mark.parametrize("waveform", ["soma", "triphasic"])
def test_image_is_deepest_at_the_soma_and_runs_along_the_axon(waveform: str) -> None:
    layout = layout_of(8, seed=5, nerve_head=(150.0, 40.0), soma_ratio=(10.0, 12.0))
    for unit in range(8):
        image = image_of(footprint(layout, unit, CHIP, RATE, axons=AxonOptions(waveform=waveform)))
        depth = image.min(axis=0)
        row, column = np.unravel_index(depth.argmin(), CHIP)
        assert [row, column] == layout.soma_electrode[unit].tolist()
        trough = 30  # 1.5 ms before the spike
        assert image[:, row, column].argmin() == trough
        far = np.arange(6.0, min(layout.axon_length[unit], 30))
        places = np.rint(layout.path(unit, far)).astype(int)
        on_chip = ((places >= 0) & (places < 65)).all(axis=1)
        times = np.array([image[:, y, x].argmin() - trough for x, y in places[on_chip]])
        expected = far[on_chip] * 16e-6 / layout.axon_speed[unit] * RATE
        if len(times):
            assert np.abs(times - expected).max() < 1.0 / layout.axon_speed[unit] * 0.32 + 1
            depths = -np.array([depth[y, x] for x, y in places[on_chip]])
            assert (depths > 0.03 * layout.amplitude[unit] / 2).all()
            assert (depths < 0.2 * layout.amplitude[unit]).all()


def test_spike_shapes_have_their_phases() -> None:
    time_s = np.arange(-40, 60) / RATE
    assert -1 < soma_shape(time_s).min() < -0.9
    assert time_s[soma_shape(time_s).argmin()] == 0
    for shape in (soma_shape, triphasic_shape):
        wave = shape(time_s)
        assert wave[time_s > 0.0004].max() > 0.15
    assert triphasic_shape(time_s)[time_s < -0.0002].max() > 0.15


def test_dead_electrodes_see_nothing() -> None:
    dead = np.zeros(CHIP, bool)
    dead[:, 20:30] = True
    layout = layout_of(4, seed=3)
    for unit in range(4):
        image = image_of(footprint(layout, unit, CHIP, RATE, is_dead=dead))
        assert not image[:, dead].any()


# ---------------------------------------------------------------- noise


def quiet(frames: int, patch: tuple[int, int] = (9, 8), seed: int = 1, **noise: Any) -> SensorStream:
    electrodes = draw_electrodes(patch, ChipOptions(), NoiseOptions(**noise), np.random.default_rng(seed))
    return SensorStream(frames, electrodes, RATE, [], [], seed)


def detrended(stream: SensorStream) -> npt.NDArray[np.float64]:
    """Its data without slow waves and offsets (frames, electrodes)."""
    data = stream.read(0, stream.shape[0]).reshape(stream.shape[0], -1).astype(float)
    t = np.arange(len(data)) / RATE
    known = np.stack([np.ones_like(t), np.sin(4 * np.pi * t)], axis=1)
    return np.asarray(data - known @ np.linalg.lstsq(known, data, rcond=None)[0])


def test_noise_is_autoregressive_with_its_spread() -> None:
    data = detrended(quiet(40000, (6, 6), counts=20.0, spread=0.2, autocorrelation=0.3, common=0.0))
    sd = data.std(axis=0)
    assert np.log(sd).mean() == pytest.approx(np.log(20), abs=0.12)
    assert np.log(sd).std() == pytest.approx(0.2, rel=0.3)
    for lag in (1, 2, 3):
        found = [np.corrcoef(trace[lag:], trace[:-lag])[0, 1] for trace in data.T]
        assert np.mean(found) == pytest.approx(0.3**lag, abs=0.015)
    correlations = np.corrcoef(data.T)[np.triu_indices(36, 1)]
    assert np.abs(correlations).max() < 0.05


def test_common_noise_is_shared_by_all_electrodes() -> None:
    data = detrended(quiet(40000, counts=10.0, spread=0.0, autocorrelation=0.3, common=0.5))
    correlations = np.corrcoef(data.T)[np.triu_indices(72, 1)]
    assert correlations.mean() == pytest.approx(0.25 / 1.25, abs=0.02)
    assert np.ptp(correlations) < 0.08


def test_faulty_columns_and_electrodes_are_as_many_as_asked_for() -> None:
    chip = ChipOptions(dead_columns=3, noisy_columns=2, noisy_electrodes=30)
    made = draw_electrodes(CHIP, chip, NoiseOptions(), np.random.default_rng(0))
    assert made.is_dead.all(axis=0).sum() == 3
    assert made.is_dead.sum() == 3 * 65
    medians = np.median(made.noise_sd, axis=0)
    assert (medians > 30).sum() == 2
    loud = made.noise_sd[:, medians < 30] > 30
    assert 15 <= loud.sum() <= 30
    assert not made.noise_sd[made.is_dead].any()


def test_more_faults_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="faulty"):
        draw_electrodes((4, 3), ChipOptions(dead_columns=3), NoiseOptions(), np.random.default_rng(0))


# ---------------------------------------------------------------- the stream


def box(count: int = 9, value: float = -100.0) -> Footprint:
    """A spike of nine samples on the electrodes of two rows and two columns from (1, 1) on, of a patch (4, 3)."""
    sample, electrode = np.divmod(np.arange(count * 4), 4)
    return Footprint(sample, np.array([4, 5, 7, 8])[electrode], np.full(count * 4, value, np.float32), 4)


def stream_of(white: bool) -> SensorStream:
    noise = NoiseOptions(spread=0, autocorrelation=0, common=0) if white else NoiseOptions()
    electrodes = draw_electrodes((4, 3), ChipOptions(), noise, np.random.default_rng(3))
    spikes = [np.array([2, 700, 2047, 2050, 4999]), np.array([], np.int64)]
    return SensorStream(5000, electrodes, RATE, [box(), box()], spikes, seed=3)


STREAMS = [stream_of(False), stream_of(True)]
WHOLE = [stream.read(0, 5000) for stream in STREAMS]


@pytest.mark.parametrize("n", [0, 1])
@settings(max_examples=60)
@given(bounds=st.tuples(st.integers(0, 5000), st.integers(0, 5000)))
def test_any_range_of_the_sensor_is_always_the_same(n: int, bounds: tuple[int, int]) -> None:
    start, stop = sorted(bounds)
    np.testing.assert_array_equal(STREAMS[n].read(start, stop), WHOLE[n][start:stop])


@pytest.mark.parametrize("n", [0, 1])
def test_threads_read_the_same(n: int) -> None:
    edges = list(range(0, 5000, 371))
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda start: STREAMS[n].read(start, min(start + 371, 5000)), edges))
    np.testing.assert_array_equal(np.concatenate(parts), WHOLE[n])


@pytest.mark.parametrize("n", [0, 1])
def test_sensor_shows_spikes_where_they_are(n: int) -> None:
    stream = STREAMS[n]
    electrodes = stream._electrodes
    added = WHOLE[n].astype(int) - SensorStream(5000, electrodes, RATE, [], [], seed=3).read(0, 5000)
    assert set(np.unique(added[696:705, 1:3, 1:3])) == {-100}
    assert not added[705:2040].any()
    assert not added[696:705, 0, :].any()
    assert set(np.unique(added[2046:2052, 1:3, 1:3])) == {-200}  # two spikes at once


def test_small_signals_survive_rounding_in_the_mean() -> None:
    electrodes = draw_electrodes((4, 3), ChipOptions(), NoiseOptions(), np.random.default_rng(3))
    spikes = np.arange(20, 200000, 40)
    part = box(value=-0.3)
    with_spikes, without = (
        SensorStream(200000, electrodes, RATE, [part], [train], 3).read(0, 200000).astype(float)
        for train in (spikes, spikes[:0])
    )
    difference = (with_spikes - without)[spikes][:, 1:3, 1:3]
    assert difference.mean() == pytest.approx(-0.3, abs=0.02)


@pytest.mark.parametrize("bounds", [(0, 5001), (-1, 5), (6, 5)])
def test_range_outside_the_sensor_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="5000"):
        STREAMS[0].read(*bounds)


def test_wrong_buffers_are_refused() -> None:
    with pytest.raises(ValueError, match="int16"):
        STREAMS[0].read_into(0, np.empty((5, 4, 3), np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ChipOptions(pitch_um=0),
        lambda: ChipOptions(soma_sigma_um=(20.0, 10.0)),
        lambda: AxonOptions(speed_m_s=(0.0, 1.0)),
        lambda: AxonOptions(waveform="square"),
        lambda: NoiseOptions(autocorrelation=0.9),
        lambda: AlignmentOptions(scale=0),
    ],
)
def test_impossible_options_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="Options"):
        wrong()
