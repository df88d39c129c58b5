"""What a simulated recording may be like, beyond its size: small groups of options, each with stated defaults.

The defaults make a plain recording: an even clock, steady cells, a chip without faults. `REALISTIC` makes what real
recordings have. Whatever is drawn at random is drawn from the recording's seed and stands in its truth file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CLOCK_RANGE_HZ = (58.9, 60.7)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value:g}: must be from {low:g} to {high:g}")


def _range(name: str, limits: tuple[float, float]) -> None:
    if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
        raise ValueError(f"{name}={limits}: two positive numbers, the smaller one first")


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """The display's frame clock.

    rate_hz: frames/s; None: drawn from 58.9 to 60.7. wander: relative amplitude of a slow (minutes) change of that
    rate. jitter_s: SD of a frame's onset about the clock. dropped_per_minute: refreshes a minute that show no new
    frame: that interval is twice as long, and no frame of the movie is left out.
    """

    rate_hz: float | None = 60.0
    wander: float = 0.0
    jitter_s: float = 0.0
    dropped_per_minute: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 10 <= self.rate_hz <= 240:
            raise ValueError(f"ClockOptions.rate_hz={self.rate_hz:g}: from 10 to 240 frames/s, or None")
        _within("ClockOptions.wander", self.wander, 0, 0.01)
        _within("ClockOptions.jitter_s", self.jitter_s, 0, 0.002)
        _within("ClockOptions.dropped_per_minute", self.dropped_per_minute, 0, 600)


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What cells do beyond following the light.

    surround_fraction: cells with an antagonistic surround, of `surround_strength` times the centre's amplitude and
    `surround_ratio` times its size. drift: SD of the logarithm of a cell's rate at either end of the recording, against
    its middle. burst_fraction: cells that burst: `burst_probability` of their spikes are followed by more, on average
    `burst_spikes`, 3 to 6 ms apart. silent_fraction: cells that see nothing and fire at `silent_rate_hz`.
    contaminated_fraction: units of whose spikes the share `contamination` is the nearest other cell's.
    """

    surround_fraction: float = 0.0
    surround_strength: float = 0.1
    surround_ratio: float = 2.2
    drift: float = 0.0
    burst_fraction: float = 0.0
    burst_probability: float = 0.3
    burst_spikes: float = 2.0
    silent_fraction: float = 0.0
    silent_rate_hz: float = 0.01
    contaminated_fraction: float = 0.0
    contamination: float = 0.1

    def __post_init__(self) -> None:
        for name in ("surround_fraction", "burst_fraction", "silent_fraction", "contaminated_fraction"):
            _within(f"CellOptions.{name}", getattr(self, name), 0, 1)
        _within("CellOptions.burst_probability", self.burst_probability, 0, 1)
        _within("CellOptions.contamination", self.contamination, 0, 0.9)
        _within("CellOptions.surround_strength", self.surround_strength, 0, 1)
        _within("CellOptions.surround_ratio", self.surround_ratio, 1, 10)
        _within("CellOptions.drift", self.drift, 0, 2)
        _within("CellOptions.silent_rate_hz", self.silent_rate_hz, 0, 100)
        if self.burst_spikes < 1:
            raise ValueError(f"CellOptions.burst_spikes={self.burst_spikes:g}: at least 1")


@dataclass(frozen=True, slots=True)
class ChipOptions:
    """Electrodes and somata.

    pitch_um: between electrodes' centres. soma_sigma_um, amplitude_counts: ranges that somata are drawn from.
    monopole_fraction: cells whose field falls off as that of a monopole, (1 + d²/(1.6σ)²)^-1.5, not as a Gaussian.
    dead_columns: electrodes there give a constant. noisy_columns: noise 5 to 20 times as large; noisy_electrodes: 5 to
    30 times.
    """

    pitch_um: float = 16.0
    soma_sigma_um: tuple[float, float] = (10.0, 20.0)
    amplitude_counts: tuple[float, float] = (90.0, 180.0)
    monopole_fraction: float = 0.0
    dead_columns: int = 0
    noisy_columns: int = 0
    noisy_electrodes: int = 0

    def __post_init__(self) -> None:
        _range("ChipOptions.soma_sigma_um", self.soma_sigma_um)
        _range("ChipOptions.amplitude_counts", self.amplitude_counts)
        _within("ChipOptions.monopole_fraction", self.monopole_fraction, 0, 1)
        if self.pitch_um <= 0 or min(self.dead_columns, self.noisy_columns, self.noisy_electrodes) < 0:
            raise ValueError("ChipOptions: pitch_um must be positive, counts of faults not negative")


@dataclass(frozen=True, slots=True)
class AxonOptions:
    """Axons: arcs from each soma to the one optic-nerve head.

    nerve_head: (x, y) = (column, row) in electrodes, on the chip or off it; None: drawn, 0.8 to 1.4 times the chip's
    longer side from its middle. speed_m_s, sigma_um, soma_ratio: ranges of conduction velocity, width of the field
    across, and
    soma's amplitude over the axon's. curvature: SD, radians/mm. modulation: relative change of amplitude along the way.
    start_um: where the axon's signal reaches half its height. waveform: "soma" (the soma's, scaled) or "triphasic".
    """

    nerve_head: tuple[float, float] | None = None
    speed_m_s: tuple[float, float] = (0.3, 1.5)
    sigma_um: tuple[float, float] = (9.0, 14.0)
    soma_ratio: tuple[float, float] = (10.0, 30.0)
    curvature: float = 0.1
    modulation: float = 0.2
    start_um: float = 40.0
    waveform: str = "soma"

    def __post_init__(self) -> None:
        for name in ("speed_m_s", "sigma_um", "soma_ratio"):
            _range(f"AxonOptions.{name}", getattr(self, name))
        _within("AxonOptions.curvature", self.curvature, 0, 5)
        _within("AxonOptions.modulation", self.modulation, 0, 0.9)
        _within("AxonOptions.start_um", self.start_um, 0, 1000)
        if self.waveform not in ("soma", "triphasic"):
            raise ValueError(f"AxonOptions.waveform={self.waveform!r}: 'soma' or 'triphasic'")


@dataclass(frozen=True, slots=True)
class AlignmentOptions:
    """How the chip is under the stimulus, so that receptive fields are over their somata.

    scale: stimulus pixels (of the noise movie) per µm; rotation_deg: None: drawn from 0 to 360; mirrored: None: drawn;
    shift_px: SD of the shift between the middles of chip and stimulus; scatter_px: SD of a field about its soma's
    place.
    """

    scale: float = 0.19 / 16
    rotation_deg: float | None = None
    mirrored: bool | None = None
    shift_px: float = 0.5
    scatter_px: float = 0.4

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.shift_px < 0 or self.scatter_px < 0:
            raise ValueError("AlignmentOptions: scale must be positive, shift_px and scatter_px not negative")


@dataclass(frozen=True, slots=True)
class NoiseOptions:
    """The sensor's noise.

    counts: SD of an electrode's noise; spread: SD of the logarithm of that from electrode to electrode; autocorrelation
    from one sample to the next; common: SD of what all electrodes share, relative to `counts`.
    """

    counts: float = 8.0
    spread: float = 0.2
    autocorrelation: float = 0.3
    common: float = 0.3

    def __post_init__(self) -> None:
        _within("NoiseOptions.counts", self.counts, 0, 1000)
        _within("NoiseOptions.spread", self.spread, 0, 1)
        _within("NoiseOptions.autocorrelation", self.autocorrelation, 0, 0.5)
        _within("NoiseOptions.common", self.common, 0, 10)

    @property
    def is_white(self) -> bool:
        """Whether all electrodes have the same noise, with no correlation in time or space."""
        return self.spread == self.autocorrelation == self.common == 0


@dataclass(frozen=True, slots=True)
class LightStepOptions:
    """Steps of light from another source than the display, after the last frame.

    count: steps; `delay_s` after the last frame's pulse, each `on_s` long and `off_s` before the next (or the
    recording's end); height_counts: on the light channel. The retina sees them as full luminance, between them dark.
    """

    count: int = 0
    delay_s: float = 5.0
    on_s: float = 10.0
    off_s: float = 10.0
    height_counts: int = 8000

    def __post_init__(self) -> None:
        if self.count < 0 or min(self.delay_s, self.on_s, self.off_s) <= 0 or self.height_counts <= 0:
            raise ValueError("LightStepOptions: count must not be negative, times and height_counts positive")


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """All groups of options. `alignment` None: receptive fields are drawn anywhere, whatever their somata."""

    clock: ClockOptions = field(default_factory=ClockOptions)
    cells: CellOptions = field(default_factory=CellOptions)
    chip: ChipOptions = field(default_factory=ChipOptions)
    axons: AxonOptions = field(default_factory=AxonOptions)
    alignment: AlignmentOptions | None = None
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    light_steps: LightStepOptions = field(default_factory=LightStepOptions)


REALISTIC = SimulationOptions(
    clock=ClockOptions(rate_hz=None, wander=2e-4, jitter_s=2e-4, dropped_per_minute=0.3),
    cells=CellOptions(
        surround_fraction=0.4, drift=0.2, burst_fraction=0.2, silent_fraction=0.04, contaminated_fraction=0.1
    ),
    chip=ChipOptions(monopole_fraction=0.3, dead_columns=1, noisy_columns=1, noisy_electrodes=5),
    axons=AxonOptions(waveform="triphasic"),
    alignment=AlignmentOptions(),
    light_steps=LightStepOptions(count=2),
)
