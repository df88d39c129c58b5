"""Options of a simulated recording beyond its size: small groups of options, each with stated defaults.

The defaults make a plain recording: an even clock, steady cells, a chip without faults. `REALISTIC` makes what real
recordings have. Whatever is drawn at random is drawn from the recording's seed and is stored in its truth file.
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

    Parameters
    ----------
    rate_hz : float or None
        Frames/s, 10 to 240; None: drawn from 58.9 to 60.7.
    wander : float
        Relative amplitude of a slow (minutes) change of that rate, up to 0.01.
    jitter_s : float
        SD of a frame's onset about the clock, seconds.
    dropped_per_minute : float
        Refreshes a minute that show no new frame: that interval is twice as long, and no frame of the movie is left
        out.

    Examples
    --------
    >>> from hdmea.simulate import ClockOptions
    >>> ClockOptions(rate_hz=59.7, dropped_per_minute=0.3).jitter_s
    0.0
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
    """Options of what cells do beyond following the light.

    Parameters
    ----------
    surround_fraction : float
        Fraction of cells with an antagonistic surround.
    surround_strength, surround_ratio : float
        Amplitude and size of the surround, relative to the centre's.
    drift : float
        SD of the logarithm of a cell's rate at either end of the recording, relative to its middle.
    burst_fraction : float
        Fraction of cells that burst.
    burst_probability : float
        Fraction of a bursting cell's spikes that are followed by more, 3 to 6 ms apart.
    burst_spikes : float
        How many follow, on average; at least 1.
    silent_fraction : float
        Fraction of cells that do not respond to light.
    silent_rate_hz : float
        Their firing rate, spikes/s.
    contaminated_fraction : float
        Fraction of units that hold spikes of the nearest other cell.
    contamination : float
        Fraction of these units' spikes that are the other cell's.

    Examples
    --------
    >>> from hdmea.simulate import CellOptions
    >>> CellOptions(burst_fraction=0.2).burst_probability
    0.3
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
class CellType:
    """A type of cells: what its cells have in common. Each draws its own values about these.

    Parameters
    ----------
    name : str
        Of the type.
    polarity : int
        1 (ON) or -1 (OFF).
    colour : str
        "green" or "blue": what its cells see better.
    time_to_peak_s : float
        Of the time course, seconds; a cell's differs by `scatter`.
    adaptation_s : float
        Time constant of the adaptation to the mean light, seconds: short for transient cells, long for sustained ones.
    is_direction_selective : bool
        Whether its cells prefer directions, each its own.
    is_orientation_selective : bool
        Whether its cells prefer movement along an axis, to either side, each its own.
    scatter : float
        SD of the logarithm of both times from cell to cell.
    gain_scatter : float
        SD of the logarithm of the rates from cell to cell.

    Examples
    --------
    >>> from hdmea.simulate import CellType, SimulationOptions
    >>> SimulationOptions(types=(CellType("on"), CellType("off", polarity=-1))).types[1].name
    'off'
    """

    name: str
    polarity: int = 1
    colour: str = "green"
    time_to_peak_s: float = 0.06
    adaptation_s: float = 0.4
    is_direction_selective: bool = False
    is_orientation_selective: bool = False
    scatter: float = 0.05
    gain_scatter: float = 0.3

    def __post_init__(self) -> None:
        if self.polarity not in (1, -1) or self.colour not in ("green", "blue"):
            raise ValueError(f"CellType {self.name!r}: polarity is 1 or -1, colour 'green' or 'blue'")
        if self.is_direction_selective and self.is_orientation_selective:
            raise ValueError(f"CellType {self.name!r}: prefers directions, or orientations, not both")
        _within("CellType.time_to_peak_s", self.time_to_peak_s, 0.01, 0.2)
        _within("CellType.adaptation_s", self.adaptation_s, 0.02, 600)
        _within("CellType.scatter", self.scatter, 0, 1)
        _within("CellType.gain_scatter", self.gain_scatter, 0, 1)


TWELVE_TYPES = (
    CellType("ON transient green", 1, "green", 0.045, 0.15),
    CellType("ON transient blue", 1, "blue", 0.045, 0.15),
    CellType("ON sustained green", 1, "green", 0.07, 1.5),
    CellType("ON sustained blue", 1, "blue", 0.07, 1.5),
    CellType("OFF transient green", -1, "green", 0.045, 0.15),
    CellType("OFF transient blue", -1, "blue", 0.045, 0.15),
    CellType("OFF sustained green", -1, "green", 0.07, 1.5),
    CellType("ON direction", 1, "green", 0.06, is_direction_selective=True),
    CellType("OFF direction", -1, "green", 0.06, is_direction_selective=True),
    CellType("ON orientation", 1, "green", 0.06, is_orientation_selective=True),
    CellType("OFF orientation", -1, "green", 0.06, is_orientation_selective=True),
    CellType("ON lasting", 1, "green", 0.09, 60.0),
)


@dataclass(frozen=True, slots=True)
class ChipOptions:
    """Electrodes and somata.

    Parameters
    ----------
    pitch_um : float
        Distance of neighbouring electrodes' centres, µm.
    soma_sigma_um : tuple of float
        Range of the width (Gaussian sigma) of a soma's field, µm.
    amplitude_counts : tuple of float
        Range of a soma's amplitude, ADC counts.
    monopole_fraction : float
        Fraction of cells whose field falls off as that of a monopole, (1 + d²/(1.6σ)²)^-1.5, not as a Gaussian.
    dead_columns : int
        Columns whose electrodes give a constant.
    noisy_columns, noisy_electrodes : int
        Columns with noise 5 to 20 times as large, and electrodes with noise 5 to 30 times as large.

    Examples
    --------
    >>> from hdmea.simulate import ChipOptions
    >>> ChipOptions(noisy_electrodes=5).pitch_um
    16.0
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

    Parameters
    ----------
    nerve_head : tuple of float or None
        (x, y) = (column, row) in electrodes, on the chip or off it; None: drawn, 0.8 to 1.4 times the chip's longer
        side from its middle.
    speed_m_s : tuple of float
        Range of the conduction velocity, m/s.
    sigma_um : tuple of float
        Range of the width (Gaussian sigma) of the field across the axon, µm.
    soma_ratio : tuple of float
        Range of the soma's amplitude over the axon's.
    curvature : float
        SD of an axon's curvature, radians/mm.
    modulation : float
        Relative change of amplitude along the axon.
    start_um : float
        Distance from the soma at which the axon's signal reaches half its height, µm.
    waveform : str
        "soma" (the soma's, scaled) or "triphasic".

    Examples
    --------
    >>> from hdmea.simulate import AxonOptions
    >>> AxonOptions(nerve_head=(-4.0, 8.0), waveform="triphasic").speed_m_s
    (0.3, 1.5)
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
    """Alignment of chip and stimulus, so that receptive fields are over their somata.

    Parameters
    ----------
    scale : float
        Stimulus pixels (of the noise movie) per µm.
    rotation_deg : float or None
        From chip to stimulus, degrees; None: drawn from 0 to 360.
    mirrored : bool or None
        Whether the chip is mirrored; None: drawn.
    shift_px : float
        SD of the shift between the middles of chip and stimulus, pixels.
    scatter_px : float
        SD of a receptive field's centre about the position of its soma, pixels.

    Examples
    --------
    >>> from hdmea.simulate import AlignmentOptions
    >>> AlignmentOptions(rotation_deg=90.0, mirrored=False).shift_px
    0.5
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

    Parameters
    ----------
    counts : float
        SD of an electrode's noise, ADC counts.
    spread : float
        SD of the logarithm of that from electrode to electrode.
    autocorrelation : float
        From one sample to the next, 0 to 0.5.
    common : float
        SD of what all electrodes share, relative to `counts`.

    Examples
    --------
    >>> from hdmea.simulate import NoiseOptions
    >>> NoiseOptions(spread=0, autocorrelation=0, common=0).is_white
    True
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
        """True where all electrodes have the same noise, with no correlation in time or space."""
        return self.spread == self.autocorrelation == self.common == 0


@dataclass(frozen=True, slots=True)
class LightStepOptions:
    """Steps of light from another source than the display, after the last frame.

    The retina sees them as full luminance, and darkness between them.

    Parameters
    ----------
    count : int
        How many.
    delay_s : float
        From the last frame's pulse to the first step, seconds.
    on_s, off_s : float
        Length of a step, and of the darkness before the next or before the recording's end, seconds.
    height_counts : int
        On the light channel, ADC counts.

    Examples
    --------
    >>> from hdmea.simulate import LightStepOptions
    >>> LightStepOptions(count=2).on_s
    10.0
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
    """All groups of options; the defaults make a plain recording.

    Parameters
    ----------
    clock : ClockOptions
        The display's frame clock.
    cells : CellOptions
        What cells do beyond following the light.
    chip : ChipOptions
        Electrodes and somata.
    axons : AxonOptions
        From somata to the optic-nerve head.
    alignment : AlignmentOptions or None
        From chip to stimulus; None: receptive fields are drawn anywhere, independent of their somata.
    noise : NoiseOptions
        Of the sensor.
    light_steps : LightStepOptions
        After the last frame.
    types : tuple of CellType
        Types of cells, as many of each; such as `TWELVE_TYPES`. Without types each cell draws its values by itself.
    retina_seed : int or None
        Seed of cells, somata and alignment, for several recordings of one chip, whose spikes differ with their seed;
        None: the recording's.

    Examples
    --------
    >>> from hdmea.simulate import AlignmentOptions, CellOptions, SimulationOptions
    >>> SimulationOptions(cells=CellOptions(drift=0.2), alignment=AlignmentOptions()).cells.drift
    0.2
    """

    clock: ClockOptions = field(default_factory=ClockOptions)
    cells: CellOptions = field(default_factory=CellOptions)
    chip: ChipOptions = field(default_factory=ChipOptions)
    axons: AxonOptions = field(default_factory=AxonOptions)
    alignment: AlignmentOptions | None = None
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    light_steps: LightStepOptions = field(default_factory=LightStepOptions)
    types: tuple[CellType, ...] = ()
    retina_seed: int | None = None


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
