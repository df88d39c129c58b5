"""The full demonstration: a recording as real ones are, and every result that can be held against its truth.

A full chip of 65 x 65 electrodes, a hundred cells whose axons run to one nerve head, seven stimuli on a display with a
clock of its own, 10 s of sensor data, and light steps after the last frame. `analyse_full` runs the flow `full` on it
as a batch of one recording. `compare_full` looks at what an analysis has left in the session, wherever that came from,
and says nothing of what is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.batch.command import parameters_of
from hdmea.batch.job import Status
from hdmea.batch.manifest import Recording
from hdmea.batch.run import run_batch
from hdmea.demo import Comparison
from hdmea.session.session import PipelineSession
from hdmea.simulate import FULL_PLAYLIST, REALISTIC, LightStepOptions, SimulatedRecording, Truth, simulate_recording
from hdmea.simulate.truth import axon_chords
from hdmea.steps.per_unit import get_nested, number
from hdmea.utils.exceptions import HDMEAError

NOISE, _, STEP, BAR, _, _, _ = FULL_PLAYLIST
LIGHT_STEPS = "iprgc_test"
PATCH = (65, 65)
# Light steps so far apart that sections of 120 s, the usual ones, hold one each.
OPTIONS = replace(REALISTIC, light_steps=LightStepOptions(count=2, on_s=30.0, off_s=95.0))
IMAGE_S = 10.0
ENOUGH_SPIKES = 200  # in the noise movie, for a field
LONG_AXON_UM = 200.0  # on the chip and in the image's window, for an axon that must be seen
PX_OF_BAR, BAR_ORIGIN = (
    20.0,
    9.5,
)  # pixels of the bar's movie in one of the noise movie, and where its first one's centre is

Floats = npt.NDArray[np.float64]


def simulate_full(
    directory: Path, units: int = 100, seed: int = 0, sensor_s: float | None = None
) -> SimulatedRecording:
    """The recording; options as in `hdmea.simulate.REALISTIC`, but for the light steps. sensor_s: default 10."""
    return simulate_recording(
        directory,
        name="full",
        n_units=units,
        patch=PATCH,
        playlist=FULL_PLAYLIST,
        sensor_duration_s=IMAGE_S if sensor_s is None else sensor_s,
        cutout_samples=16,
        seed=seed,
        options=OPTIONS,
        overwrite=True,
    )


def analyse_full(recording: SimulatedRecording, output_dir: Path) -> PipelineSession:
    """Run the flow `full` as a batch of one recording does; the session of the file that it makes, `full.h5`.

    Raises `HDMEAError` that names the log where a step fails.
    """
    row, parameters = batch_of_one(recording, IMAGE_S)
    batch = run_batch([row], output_dir, flow="full", parameters=parameters, jobs=1, force=True, progress=False)
    (outcome,) = batch.outcomes
    if outcome.status is not Status.DONE:
        raise HDMEAError(f"the flow full {outcome.status.value}: {outcome.reason}; see {outcome.log_path}")
    return PipelineSession.load(outcome.output_path)


def batch_of_one(recording: SimulatedRecording, sensor_s: float) -> tuple[Recording, dict[str, dict[str, Any]]]:
    """The row of a batch's manifest, and the parameters of its steps; sensor_s: sensor data for images, seconds."""
    files = {
        "playlist_file_path": recording.playlist_path,
        "movie_length_file_path": recording.movie_length_path,
        "stimuli_dir": recording.stimuli_dir,
        "config_dir": recording.config_dir,
    }
    parameters = parameters_of([], files)
    parameters.setdefault("load_recording_with_eimage_sta", {})["duration_s"] = sensor_s
    return Recording("full", recording.cmcr_path, recording.cmtr_path, playlist=recording.playlist_name), parameters


def compare_full(session: PipelineSession, recording: SimulatedRecording) -> list[Comparison]:
    """Compare what was recovered with the truth: a line for each result that the session holds."""
    truth = recording.truth
    findings = (compare(session, truth) for compare in _COMPARISONS)
    return [finding for finding in findings if finding is not None]


# ---------------------------------------------------------------- one comparison each


def _fields(session: PipelineSession, truth: Truth) -> Comparison | None:
    feature = f"sta_{NOISE}"
    source = (feature, "sta_geometry") if _has(session, feature, "sta_geometry") else (NOISE, "data")
    names = ("center_col", "center_row") if source[0] == feature else ("center_x", "center_y")
    centers = np.stack([_column(session, *source, name) for name in names], axis=1)
    if not np.isfinite(centers).any():
        return None
    seen = _sees_noise(session, truth)
    off = np.hypot(*(centers - truth.population.rf_center).T)[seen]
    near = float(np.mean(off < 1.0))
    silent = truth.irregularities.is_silent
    made_up = int(np.isfinite(centers[silent]).all(axis=1).sum())
    result = f"{near:.0%} of {len(off)} within a pixel, median {np.nanmedian(off):.2f} pixels off"
    result += f"; {made_up or 'none'} in {silent.sum()} silent cells" if silent.any() else ""
    return Comparison("receptive fields", result, made_up == 0 and near >= 0.95 and bool(np.nanmedian(off) < 0.3))


def _models(session: PipelineSession, truth: Truth) -> Comparison | None:
    """The rates of the simulated cells are logistic functions of what their filters see."""
    path = (f"sta_{NOISE}", "sta_geometry", "lnl")
    bits, seen = _column(session, *path, "bits_per_spike"), _sees_noise(session, truth)
    if not np.isfinite(bits).any():
        return None
    kinds = np.array([str(get_nested(unit, "features", *path, "kind")) for unit in session.units.values()])
    better, logistic = float(np.mean(bits[seen] > 0)), float(np.mean(kinds[seen] == "logistic"))
    result = f"better than the mean rate on unseen data in {better:.0%} of {seen.sum()}, median "
    result += f"{np.nanmedian(bits[seen]):.2f} bits/spike; logistic, as the truth, {logistic:.0%}"
    return Comparison("linear-nonlinear models", result, better >= 0.95 and logistic >= 0.8)


def _polarity(session: PipelineSession, truth: Truth) -> Comparison | None:
    index = _column(session, STEP, "data", "on_off_index")
    has_index = np.isfinite(index) & _works(truth) & (truth.population.surround == 0) & _on_screen(truth)
    if not has_index.any():
        return None
    return _share("ON or OFF", np.sign(index[has_index]) == truth.population.polarity[has_index], 0.95)


def _directions(session: PipelineSession, truth: Truth) -> Comparison | None:
    angle, p_value = _column(session, BAR, "data", "preferred_direction"), _column(session, BAR, "data", "dsi_p_value")
    selective = truth.population.is_direction_selective & _works(truth) & _on_screen(truth)
    detected = selective & (p_value < 0.05)
    if not np.isfinite(angle).any() or not selective.any():
        return None
    off = np.abs(_turn(angle - truth.population.preferred_direction_deg))[detected]
    share, median = detected.sum() / selective.sum(), float(np.median(off)) if len(off) else np.inf
    others = ~truth.population.is_direction_selective & _works(truth) & np.isfinite(p_value)
    result = f"{detected.sum()} of {selective.sum()} selective cells found, median {median:.1f} degrees off; "
    result += f"p < 0.05 in {(p_value[others] < 0.05).sum()} of {others.sum()} others"
    return Comparison("preferred direction", result, bool(share >= 0.8) and median < 15)


def _direction_sections(session: PipelineSession, truth: Truth) -> Comparison | None:
    """Of direction-selective cells, the section with most spikes is that of a direction next to the true one."""
    selective = truth.population.is_direction_selective & _works(truth) & _on_screen(truth)
    off = []
    for unit, direction in zip(session.units.values(), truth.population.preferred_direction_deg, strict=True):
        sections = get_nested(unit, "spike_times_sectioned", BAR, "direction_section")
        counts = {
            angle: sum(len(train) for train in section["trials"].values())
            for angle, section in (sections or {}).items()
            if angle != "_attrs"
        }
        most = max(counts, key=lambda angle: counts[angle]) if counts else np.nan
        off.append(abs(float(_turn(np.float64(most) - direction))))
    has_angle = selective & np.isfinite(off)
    if not has_angle.any():
        return None
    return _share("sections by direction", np.array(off)[has_angle] <= 45, 0.8)


def _somata(session: PipelineSession, truth: Truth) -> Comparison | None:
    places = np.stack([_column(session, "eimage_sta", "geometry", f"center_{axis}") for axis in ("col", "row")], axis=1)
    if not np.isfinite(places).any():
        return None
    off = np.hypot(*(places - truth.layout.soma_xy).T)[_has_image(session)]
    result = f"{np.isfinite(off).sum()} of {len(off)} found, median {np.nanmedian(off):.3f} electrodes"
    right = float(np.mean(off < 1.0)) >= 0.95 and bool(np.nanmedian(off) < 0.1)
    return Comparison("soma positions", result, right)


def _axon_angles(session: PipelineSession, truth: Truth) -> Comparison | None:
    angle = _column(session, "ap_tracking", "ap_pathway", "direction_angle")
    if not np.isfinite(angle).any():
        return None
    rows, columns = truth.electrodes.is_dead.shape
    true, length = axon_chords(truth.layout, (rows, columns), REALISTIC.chip.pitch_um)
    long = (length * REALISTIC.chip.pitch_um >= LONG_AXON_UM) & _has_image(session)
    off = np.abs(_turn(angle - true))[long]
    seen = np.isfinite(off)
    result = f"{seen.sum()} of {len(off)} long axons seen, median {np.nanmedian(off):.1f} degrees off"
    return Comparison("axon directions", result, seen.mean() >= 0.9 and float(np.mean(off[seen] < 20)) >= 0.9)


def _velocities(session: PipelineSession, truth: Truth) -> Comparison | None:
    velocity = _column(session, "ap_tracking", "ap_pathway", "velocity_m_s")
    if not np.isfinite(velocity).any():
        return None
    off = np.abs(velocity / truth.layout.axon_speed - 1)[np.isfinite(velocity)]
    result = f"median {np.median(off):.1%} off, {np.mean(off < 0.15):.0%} within 15 %"
    return Comparison("conduction velocities", result, bool(np.median(off) < 0.05) and bool(np.mean(off < 0.15) >= 0.8))


def _nerve_head(session: PipelineSession, truth: Truth) -> Comparison | None:
    record = get_nested(session.metadata, "ap_tracking", "all_ap_intersection")
    if record is None:
        return None
    xy = np.array([number(record.get(axis)) for axis in ("x", "y")])
    if not np.isfinite(xy).all():
        return Comparison("optic-nerve head", "no position", False)
    true = truth.layout.nerve_head
    off, away = np.hypot(*(xy - true)), np.hypot(*(true - 32))
    result = f"({xy[0]:.0f}, {xy[1]:.0f}), truly ({true[0]:.0f}, {true[1]:.0f}): {off:.1f} electrodes off"
    result += f", {away:.0f} from the chip's middle"
    major, minor = (number(record.get(f"region_{axis}")) for axis in ("major", "minor"))
    if np.isfinite(major):
        result += f"; stated 95 % region: half axes {major:.1f} and {minor:.1f}"
    return Comparison("optic-nerve head", result, bool(off < 0.25 * away))


def _alignment(session: PipelineSession, truth: Truth) -> Comparison | None:
    axes = ("col", "row")
    places = np.stack([_column(session, "eimage_sta", "geometry", f"center_corrected_{axis}") for axis in axes], axis=1)
    if not np.isfinite(places).any() or truth.alignment is None:
        return None
    true = PX_OF_BAR * truth.alignment.to_pixels(truth.layout.soma_xy) + BAR_ORIGIN
    off = np.hypot(*(places - true).T)
    median = float(np.nanmedian(off))
    result = f"median {median:.1f} pixels of 300 off"
    map_ = get_nested(session.metadata, "electrode_alignment")
    if map_ is not None:
        turn, scale = number(map_.get("rotation_deg")), number(map_.get("scale_px_per_um"))
        result += f"; rotation {turn:.1f} degrees, truly {truth.alignment.rotation_deg:.1f}"
        result += f"; {1000 * scale:.2f} pixels/mm, truly {1000 * truth.alignment.scale_px_per_um:.2f}"
    return Comparison("chip under the stimulus", result, median < 10)


def _light_steps(session: PipelineSession, truth: Truth) -> Comparison | None:
    section = get_nested(session.stimulus, "section_time", LIGHT_STEPS)
    if section is None:
        return None
    steps, true = np.asarray(section)[:, 0].astype(np.int64), truth.light_steps[:, 0]
    if len(steps) != len(true):
        return Comparison("light steps after the last frame", f"{len(steps)} found of {len(true)}", False)
    worst = int(np.abs(steps - true).max(initial=0))
    return Comparison(
        "light steps after the last frame", f"{len(steps)} found, off by {worst} samples at most", worst <= 20
    )


_COMPARISONS: tuple[Callable[[PipelineSession, Truth], Comparison | None], ...] = (
    _fields,
    _models,
    _polarity,
    _directions,
    _direction_sections,
    _somata,
    _axon_angles,
    _velocities,
    _nerve_head,
    _alignment,
    _light_steps,
)


# ---------------------------------------------------------------- values, and which cells count


def _has(session: PipelineSession, *path: str) -> bool:
    return any(get_nested(unit, "features", *path) is not None for unit in session.units.values())


def _column(session: PipelineSession, *path: str) -> Floats:
    """One value of a feature for every unit (units,), NaN where it is missing."""
    return np.array([number(get_nested(unit, "features", *path)) for unit in session.units.values()], np.float64)


def _works(truth: Truth) -> npt.NDArray[np.bool_]:
    """Cells that are not silent, and whose unit holds no other's spikes."""
    return ~truth.irregularities.is_silent & (truth.irregularities.contaminated_by < 0)


def _on_screen(truth: Truth) -> npt.NDArray[np.bool_]:
    """Cells whose field's centre is on the noise movie's pixels, not at its very edge."""
    return np.asarray(((truth.population.rf_center >= 0.5) & (truth.population.rf_center <= 13.5)).all(axis=1))


def _sees_noise(session: PipelineSession, truth: Truth) -> npt.NDArray[np.bool_]:
    trains = [get_nested(unit, "spike_times_sectioned", NOISE, "full_spike_times") for unit in session.units.values()]
    enough = np.array([train is not None and len(train) >= ENOUGH_SPIKES for train in trains])
    return enough & _works(truth) & _on_screen(truth)


def _has_image(session: PipelineSession) -> npt.NDArray[np.bool_]:
    """Units with spikes enough for an electrical image."""
    spikes = [get_nested(unit, "features", "eimage_sta", "metadata", "n_spikes") for unit in session.units.values()]
    return np.array([count is not None and number(count) >= 20 for count in spikes])


def _turn(angle_deg: npt.ArrayLike) -> Floats:
    return np.asarray((np.asarray(angle_deg, np.float64) + 180) % 360 - 180)


def _share(title: str, right: npt.NDArray[np.bool_], least: float) -> Comparison:
    return Comparison(title, f"right for {int(right.sum())} of {len(right)} units", bool(right.mean() >= least))
