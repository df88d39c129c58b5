"""Results as dicts: every name that a laboratory's files use is there, with or without a result."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from h5burst.runtime.threads import parallel_map
from hdmea import geometry
from support.electrode_cells import SPIKE, cell_image
from support.noise_cells import FRAMES, movie, noise_cell, noise_spikes, respond, triggered

SCALE = geometry.ImageScale(20_000, SPIKE, 16.0)
SOMA = "center_row center_col peak_row peak_col size_x size_y area equivalent_diameter diff_map"
FIELD = "center_row center_col size_x size_y area equivalent_diameter peak_frame sta_time_course diff_map"
GAUSSIAN = "center_x center_y sigma_x sigma_y amplitude theta offset r_squared"
DOG = "center_x center_y sigma_exc sigma_inh amp_exc amp_inh offset r_squared"
SIDE = "center_x center_y sigma_x sigma_y amplitude r_squared"
MODEL = (
    "a b a_norm bits_per_spike r_squared rectification_index nonlinearity_index threshold_g log_likelihood "
    "null_log_likelihood n_frames n_spikes g_bin_centers rate_vs_g"
)
PATHWAY = (
    "slope intercept r_value p_value std_err direction_angle velocity_m_s velocity_se length_um significance axon_seen"
)


def leaves(record: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        found |= leaves(value, f"{path}{name}/") if isinstance(value, dict) else {f"{path}{name}": value}
    return found


def has(record: dict[str, Any], names: str, prefix: str = "") -> None:
    missing = [name for name in names.split() if prefix + name not in record]
    assert not missing, missing


@pytest.fixture(scope="module", params=["cell", "nothing"])
def records(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(91)
    there = request.param == "cell"
    image = cell_image(rng)[0] if there else rng.normal(size=(50, 65, 65))
    counts = respond(rng, noise_cell(rng), "sigmoid", 3000)[0] if there else noise_spikes(rng, 300)
    field = geometry.receptive_field(triggered(counts), last_frame=1)
    train = np.repeat(np.arange(FRAMES), counts)
    model = geometry.fit_ln_models(geometry.NoiseMovie.of(movie()), [train], [field.z], 1 / 60)[0]
    axon = geometry.track_axon(image, SCALE)
    assert (axon.axon_seen, field.significant, not model.reason) == (there, there, there)
    somata = rng.uniform(0, 60, (20, 2))
    angles = np.degrees(np.arctan2(90 - somata[:, 1], 30 - somata[:, 0]))
    head = geometry.find_nerve_head(somata[: 20 if there else 2], angles[: 20 if there else 2])
    chip = 16 * somata[: 20 if there else 3]
    alignment = geometry.align(chip, 0.012 * chip + 1)
    return {
        "soma": geometry.soma_record(geometry.soma_geometry(image, SCALE)),
        "field": geometry.field_record(field, 1 / 59.5),
        "model": geometry.model_record(model),
        "axon": geometry.axon_record(axon, SCALE, geometry.soma_polar(head, 30, 20, 16.0)),
        "head": geometry.head_record(head, 16.0),
        "alignment": geometry.alignment_record(alignment),
    }


def test_names_of_the_laboratory_are_there(records: dict[str, dict[str, Any]]) -> None:
    has(records["soma"], SOMA)
    has(records["field"], FIELD)
    has(records["field"]["gaussian_fit"], GAUSSIAN)
    has(records["field"]["DoG"], DOG)
    for side in ("on_", "off_"):
        has(records["field"]["ONOFF_model"], SIDE, side)
    has(records["model"], MODEL)
    has(records["axon"]["ap_pathway"], PATHWAY)
    for place in ("refined_soma", "axon_initial_segment"):
        has(records["axon"][place], "t x y t_ms x_um y_um")
    has(records["axon"]["post_processed_data"], "axon_centroids")
    has(records["axon"]["soma_polar_coordinates"], "radius_um angle_deg angle_se_deg")
    has(records["head"], "x y method rmse n_cells_used region_major region_minor region_angle_deg status")


def test_everything_can_be_stored(records: dict[str, dict[str, Any]]) -> None:
    for path, value in leaves(records).items():
        assert isinstance(value, bool | int | float | str | np.ndarray), f"{path} is {type(value)}"
        if isinstance(value, np.ndarray):
            assert value.dtype.kind in "fi", path


def test_units_agree(records: dict[str, dict[str, Any]]) -> None:
    place = records["axon"]["refined_soma"]
    np.testing.assert_allclose(place["x_um"], 16 * place["x"])
    np.testing.assert_allclose(place["t_ms"], (place["t"] - SPIKE) / 20)
    field = records["field"]
    np.testing.assert_allclose(field["peak_lag_ms"], field["peak_lag_frames"] * 1000 / 59.5)


def test_an_alignment_comes_back_from_its_record(records: dict[str, dict[str, Any]]) -> None:
    again = geometry.alignment_from_record(records["alignment"])
    chip = np.random.default_rng(0).uniform(0, 1000, (4, 2))
    expected = 0.012 * chip + 1 if again.valid else np.full((4, 2), np.nan)
    np.testing.assert_allclose(again.predict(chip), expected, atol=1e-6)
    with pytest.raises(ValueError, match="lacks"):
        geometry.alignment_from_record({"valid": True})


def test_results_are_frozen() -> None:
    soma = geometry.soma_geometry(np.random.default_rng(0).normal(size=(50, 20, 20)), SCALE)
    with pytest.raises(FrozenInstanceError):
        soma.z = 1.0  # type: ignore[misc]


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(92)
    images = [cell_image(rng)[0] for _ in range(6)]

    def everything(image: np.ndarray) -> dict[str, Any]:
        clean = geometry.clean_image(image, SCALE)
        soma = geometry.soma_geometry(clean)
        return leaves(geometry.axon_record(geometry.track_axon(clean, soma=soma), SCALE)) | leaves(
            geometry.soma_record(soma)
        )

    one, several = parallel_map(everything, images, 1), parallel_map(everything, images, 4)
    for a, b in zip(one, several, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_pairs_are_of_units_with_a_soma_and_a_field() -> None:
    rng = np.random.default_rng(93)
    image, cell = cell_image(rng)
    soma = geometry.soma_geometry(image, SCALE)
    nowhere = geometry.soma_geometry(rng.normal(size=image.shape), SCALE)
    field = geometry.receptive_field(triggered(respond(rng, noise_cell(rng), "sigmoid", 3000)[0]), last_frame=1)
    blind = geometry.receptive_field(triggered(noise_spikes(rng, 300)), last_frame=1)
    pairs = geometry.usable_pairs([soma, nowhere, soma, soma], [blind, field, field, blind])
    assert pairs.units.tolist() == [2]
    np.testing.assert_allclose(pairs.chip_um, [[16 * cell.x, 16 * cell.y]], atol=1)
    np.testing.assert_allclose(pairs.fields_px, [[field.center_col, field.center_row]])
    assert 0 < pairs.fields_se_px[0] < 0.5
    assert geometry.usable_pairs([], []).chip_um.shape == (0, 2)
    with pytest.raises(ValueError, match="one of both"):
        geometry.usable_pairs([soma], [])


def test_angle_of_a_fit_is_in_radians_and_in_degrees() -> None:
    y, x = np.mgrid[:15, :15] - 7.0
    along, across = (np.cos(0.5) * x + np.sin(0.5) * y), (np.cos(0.5) * y - np.sin(0.5) * x)
    average = np.random.default_rng(0).normal(0, 0.02, (60, 15, 15))
    average[48:56] += 3 * np.exp(-0.5 * ((along / 2.5) ** 2 + (across / 1.2) ** 2))
    record = geometry.field_record(geometry.receptive_field(average), 1 / 60)["gaussian_fit"]
    assert record["theta"] == pytest.approx(0.5, abs=0.05)
    assert record["theta_deg"] == pytest.approx(np.degrees(0.5), abs=3)
