"""The command `hdmea export`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from h5burst import console, durable
from h5burst.console import output as screen
from hdmea.utils.exceptions import ConfigurationError

if TYPE_CHECKING:
    from hdmea.bridges.nwb_facts import NwbFacts

Pairs = Annotated[list[str] | None, typer.Option("--subject", help="subject_id=…, species=…, sex=…, age=… (P70D), …")]
SessionPairs = Annotated[list[str] | None, typer.Option("--session", help="lab=…, institution=…, experimenter=…, …")]


def export(
    file: Annotated[Path, typer.Argument(help="A recording (.h5).")],
    output: Annotated[
        Path | None, typer.Argument(help="The new file; its suffix says the format: .nwb, or .mat.h5.")
    ] = None,
    facts: Annotated[Path | None, typer.Option(help="TOML: start_time, time_zone, \\[session], \\[subject].")] = None,
    facts_template: Annotated[
        Path | None, typer.Option(help="Write a TOML file to fill in for --facts, in the place of an export.")
    ] = None,
    start_time: Annotated[
        str | None, typer.Option(help="ISO 8601, when the first sample was taken; default the vendor's file.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Zone of a start time without one, as Europe/Berlin or +02:00.")
    ] = None,
    subject: Pairs = None,
    session: SessionPairs = None,
    without_subject: Annotated[bool, typer.Option("--without-subject", help="Leave the subject out.")] = False,
    location: Annotated[str | None, typer.Option(help="Where the electrodes are; default retina.")] = None,
    waveform_volts: Annotated[
        float | None, typer.Option(help="Volts a count of the waveforms; default the sensor's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a recording for other programs: NWB (.nwb), or HDF5 as MATLAB's h5read takes it (.mat.h5).

    What a NWB file needs and the recording does not say is asked for by name.

    \b
    Examples:
      hdmea export results/simulated.h5 --facts-template facts.toml
      hdmea export results/simulated.h5 a.nwb --facts animal.toml
      hdmea export results/simulated.h5 b.nwb --start-time 2024-05-01T10:30:00+02:00
          --subject subject_id=m7 --subject 'species=Mus musculus' --subject sex=F --subject age=P70D
      hdmea export results/simulated.h5 a.mat.h5
    """
    console.existing_file(file)
    if facts_template is not None:
        if output is not None:
            raise ConfigurationError(f"--facts-template writes {facts_template} alone: leave {output} away")
        path = _template(file, facts_template, overwrite)
    elif output is None:
        raise ConfigurationError(f"name the new file: hdmea export {shlex.quote(str(file))} NAME.nwb (or NAME.mat.h5)")
    elif output.suffix.lower() == ".nwb":
        from hdmea.bridges.nwb import export_nwb

        given_facts = _facts(facts, start_time, time_zone, subject, session, without_subject, location, waveform_volts)
        try:
            path = export_nwb(file, output, given_facts, overwrite=overwrite)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{_what_to_run(file, output, given_facts)}") from error
    elif output.name.lower().endswith(".mat.h5"):
        from hdmea.bridges.matlab import export_matlab

        path = export_matlab(file, output, overwrite=overwrite)
    else:
        raise ConfigurationError(f"{output}: the suffix says the format: .nwb or .mat.h5. For tables: hdmea table")
    screen.say(path)
    screen.result({"file": str(path), "bytes": path.stat().st_size})


def _template(file: Path, target: Path, overwrite: bool) -> Path:
    from hdmea.bridges.nwb_facts import facts_template
    from hdmea.plot.figure_data import opened

    with durable.replacing(target, overwrite=overwrite) as temporary:
        temporary.write_text(facts_template(opened(file)), encoding="utf-8")
    return target


def _what_to_run(file: Path, output: Path, given_facts: NwbFacts) -> str:
    """The command that says all that is missing, with values of an example; empty where nothing is."""
    from hdmea.bridges.nwb_facts import options_needed
    from hdmea.plot.figure_data import opened

    options = options_needed(opened(file), given_facts)
    if not options:
        return ""
    given = sys.argv[1:] if sys.argv[1:2] == ["export"] else ["export", str(file), str(output)]
    command = shlex.join(["hdmea", *given, *options])
    template = shlex.join(["hdmea", "export", str(file), "--facts-template", "facts.toml"])
    return f". With your own values: {command}; or {template}, to fill in for --facts"


def _facts(
    file: Path | None,
    start_time: str | None,
    time_zone: str | None,
    subject: list[str] | None,
    session: list[str] | None,
    without_subject: bool,
    location: str | None,
    waveform_volts: float | None,
) -> NwbFacts:
    """The facts of a file, with those of the options before them."""
    from hdmea.bridges.nwb_facts import NwbFacts, read_facts

    stored_facts = NwbFacts() if file is None else read_facts(console.existing_file(file))
    given = {
        "start_time": start_time,
        "time_zone": time_zone,
        "location": location,
        "waveform_volts_per_count": waveform_volts,
    }
    return replace(
        stored_facts,
        subject={**stored_facts.subject, **_pairs(subject, "--subject")},
        session={**stored_facts.session, **_pairs(session, "--session")},
        without_subject=without_subject or stored_facts.without_subject,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"{option} takes NAME=VALUE, not {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs
