"""Find what in scripts would import another hdmea, import what is not there, or read a number that changed.

Scripts are parsed, never run.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hdmea.utils.exceptions import DataLoadError

CHANGED = {
    "load_cmtr_data": "spike_times are microseconds, as the file has them",
    "load_cmcr_data": "light_reference is float32 and has 1khz and 10hz means; sensor data are not read",
    "find_soma_from_3d_sta": "gives (t, x, y): x is the column, y the row, in parts of electrodes, NaN without a soma",
    "fit_line_to_centroids": "gives the line of row over column and the direction in which the axon advances",
    "calculate_optimal_intersection": "a robust fit of bearings; None where the axons do not agree on a place",
    "calculate_enhanced_intersection": "a robust fit of bearings; None where the axons do not agree on a place",
    "add_section_time_analog": "an onset is the first sample after the step, one later than before",
    "gaussian_fit": "sigmas are the field's, 1.48 times smaller; the amplitude is of the average; theta is in radians",
    "DoG": "amplitudes and sigmas are of the average itself, not of a smoothed one; theta is in radians",
    "ONOFF_model": "amplitudes and sigmas are of the average itself, not of a smoothed one",
    "lnl": "held out, real frame rate, bins of equal counts: other scale",
    "bits_per_spike": "of data that the filter was not fitted to: smaller",
    "rate_vs_g": "bins of equal counts, rates by the real frame period",
    "size_x": "fields: of the fit at half its maximum, 1.56 times smaller; images: electrodes with half the trough",
    "size_y": "fields: of the fit at half its maximum, 1.56 times smaller; images: electrodes with half the trough",
    "area": "of the fit: 2.4 times smaller for receptive fields",
    "sigma_x": "of the field, along theta: 1.56 times smaller",
    "sigma_y": "of the field, across theta: 1.56 times smaller",
    "theta": "radians, of the fit; degrees are theta_deg",
    "amp_exc": "of the average itself, not of a smoothed one",
    "amp_inh": "of the average itself, not of a smoothed one",
    "sigma_exc": "of the average itself, not of a smoothed one: smaller",
    "sigma_inh": "of the average itself, not of a smoothed one: smaller",
    "offset": "of DoG: always 0, the two Gaussians are of a field without an offset",
    "amplitude": "of fits: of the average itself, not of a smoothed one",
    "on_amplitude": "of the average itself, not of a smoothed one",
    "off_amplitude": "of the average itself, not of a smoothed one",
    "equivalent_diameter": "of the fit: 1.56 times smaller for receptive fields",
    "r_squared": "of lnl: of data that the filter was not fitted to",
    "center_row": "of a fitted field, parts of electrodes or pixels; NaN where there is none",
    "center_col": "of a fitted field, parts of electrodes or pixels; NaN where there is none",
    "center_corrected_row": "by a rotation, scale and perhaps a mirror; NaN where a test says that there is no map",
    "center_corrected_col": "by a rotation, scale and perhaps a mirror; NaN where a test says that there is no map",
    "direction_angle": "of a curve with a direction, x the column and y the row",
    "slope": "of a curve with a direction, x the column and y the row",
    "intercept": "of a curve with a direction, x the column and y the row",
    "r_value": "of ap_pathway: the share of the path's spread along the line, with the slope's sign",
    "all_ap_intersection": "a robust fit of bearings; NaN where the axons do not agree on a place",
    "axon_initial_segment": "x and y are parts of electrodes, NaN where there is none: int() of NaN fails",
    "refined_soma": "x and y are parts of electrodes, NaN where there is none: int() of NaN fails",
    "preferred_color": "none unless the two colours differ",
    "color_opponency_index": "of tested responses",
    "on_off_index": "of tested, baseline-subtracted responses, NaN without one",
    "dsi": "of tested responses in windows of 550 frames, NaN without one",
    "osi": "of tested responses in windows of 550 frames, NaN without one",
    "preferred_direction": "of tested responses in windows of 550 frames, NaN without one",
    "preferred_orientation": "of tested responses in windows of 550 frames, NaN without one",
    "on_peak_rate": "smoothed, less the quiet rate, NaN without a response",
    "off_peak_rate": "smoothed, less the quiet rate, NaN without a response",
    "on_latency_ms": "at half of the peak's height, NaN without a response",
    "off_latency_ms": "at half of the peak's height, NaN without a response",
    "baseline_rate": "of the last second of the lead and the last 2 s of the trial",
    "f1_amplitude": "of spike times at the real frequency",
    "preferred_frequency": "NaN where the response is not modulated",
    "bandwidth": "of a Gaussian over log frequency, NaN where the response is not modulated",
    "frequencies_hz": "as shown; the nominal ones are nominal_frequencies_hz",
    "psth": "bins of a frame: another length",
    "response_quality": "the unbiased share of signal; the earlier one is response_quality_raw",
    "green_blue_3s_3i_3x": "3 trials, not 9",
}
NETWORK = (
    "load_cnn_model",
    "run_model_inference",
    "select_device",
    "ais_refiner",
    "soma_refiner",
    "process_predictions",
)
REPLACED = "belongs to a neural network: call compute_ap_tracking instead"


@dataclass(frozen=True, order=True)
class ScriptProblem:
    """One line of a script. kind: "path" (would shadow this package), "missing", "changed" or "unreadable"."""

    path: str
    line: int
    kind: str
    message: str


def check_scripts(path: str | Path) -> list[ScriptProblem]:
    """List what is to be looked at in a script, or in all scripts below a directory, in their order.

    Parameters
    ----------
    path
        A `.py` file, or a directory.

    Returns
    -------
    list of ScriptProblem
        Names that are known to have changed are found where they are imported or stand as text.

    Raises
    ------
    FileNotFoundError
        There is no such file or directory.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"no such file or directory: {root}")
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    return [finding for file in files for finding in sorted(_check(file))]


def _check(file: Path) -> Iterator[ScriptProblem]:
    try:
        tree = _parsed(file)
    except DataLoadError as error:
        yield ScriptProblem(str(file), 1, "unreadable", str(error))
        return
    modules = _module_names(tree)
    for node in ast.walk(tree):
        for kind, problem in _of_node(node, modules):
            yield ScriptProblem(str(file), getattr(node, "lineno", 1), kind, problem)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        raise DataLoadError(f"cannot be read as Python: {error}", file, error) from error


def _module_names(tree: ast.Module) -> dict[str, str]:
    """The modules of this package by the names that a script has for them."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hdmea":
                    names[alias.asname or "hdmea"] = alias.name if alias.asname else "hdmea"
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "hdmea":
            inside = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name: module for name, module in inside.items() if _is_there(module)}
    return names


def _of_node(node: ast.AST, modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "hdmea":
        yield from _imported(node.module or "", [alias.name for alias in node.names])
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == "hdmea" and not _is_there(alias.name):
                yield "missing", f"module {alias.name}"
    elif isinstance(node, ast.Attribute):
        if (module := _module_of(node.value, modules)) is not None:
            yield from _imported(module, [node.attr])
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for name in dict.fromkeys(node.value.strip("/").split("/")):
            if name in CHANGED:
                yield "changed", f"{name}: {CHANGED[name]}"
    elif isinstance(node, (ast.Call, ast.Assign, ast.AugAssign)) and _puts_first(node):
        yield "path", f"{ast.unparse(node)}: what it puts first hides this package if it holds another hdmea"


def _module_of(node: ast.AST, modules: Mapping[str, str]) -> str | None:
    """The module that an expression such as `hdmea.io` or `section_time` is; None for anything else."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    parent = _module_of(node.value, modules) if isinstance(node, ast.Attribute) else None
    inside = f"{parent}.{node.attr}" if isinstance(node, ast.Attribute) and parent is not None else None
    return inside if inside is not None and _is_there(inside) else None


def _imported(module: str, names: list[str]) -> Iterator[tuple[str, str]]:
    if not _is_there(module):
        yield "missing", f"module {module}"
        return
    for name in names:
        if name != "*" and not (_has(module, name) or _is_there(f"{module}.{name}")):
            yield "missing", f"{module}.{name}"
        elif name in CHANGED:
            yield "changed", f"{module}.{name}: {CHANGED[name]}"
        elif name in NETWORK:
            yield "changed", f"{module}.{name}: {REPLACED}"


def _has(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is not there, or is no package
        return False


def _puts_first(node: ast.Call | ast.Assign | ast.AugAssign) -> bool:
    """True where a statement puts something before the rest of `sys.path`, or replaces it."""
    if isinstance(node, ast.Call):
        called = node.func
        if not (isinstance(called, ast.Attribute) and _is_search_path(called.value)):
            return False
        at = node.args[0] if node.args else None
        return called.attr == "insert" and not (isinstance(at, ast.Constant) and at.value not in (0, 1))
    if isinstance(node, ast.AugAssign):
        return False  # at the end
    targets = [target.value if isinstance(target, ast.Subscript) else target for target in node.targets]
    return any(_is_search_path(target) for target in targets)


def _is_search_path(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "path" and ast.unparse(node.value).split(".")[-1] == "sys"
