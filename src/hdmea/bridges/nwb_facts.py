"""Facts that a NWB file has and a recording lacks: start time, subject, session. Asked for by name, never invented."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hdmea.session.session import PipelineSession
from hdmea.utils.exceptions import ConfigurationError

SESSION_FIELDS = (
    "session_description",
    "session_id",
    "experiment_description",
    "experimenter",
    "institution",
    "lab",
    "keywords",
    "notes",
    "protocol",
    "pharmacology",
    "related_publications",
    "surgery",
)
SUBJECT_FIELDS = ("subject_id", "species", "sex", "age", "date_of_birth", "strain", "genotype", "weight", "description")
LISTS = ("experimenter", "keywords", "related_publications")
SEXES = ("M", "F", "U", "O")
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]+(-[a-z]+)*( [a-z]+)?|https?://purl\.obolibrary\.org/obo/NCBITaxon_\d+")
_AGE = re.compile(r"P(?!$)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?(T(\d+H)?(\d+M)?(\d+S)?)?")
_VENDOR_TIME = "DateTime"
_EXAMPLES = {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P70D"}  # of what must be known
_TIME_EXAMPLE, _ZONE_EXAMPLE = "2024-05-01T10:30:00+02:00", "Europe/Berlin"
_FORMS: dict[str, tuple[Any, str]] = {
    "start_time": ((str, datetime, NoneType), "a date and time"),
    "time_zone": ((str, NoneType), "text"),
    "session": (Mapping, "a table"),
    "subject": (Mapping, "a table"),
    "without_subject": (bool, "true or false"),
    "location": (str, "text"),
    "waveform_volts_per_count": ((Real, NoneType), "a number"),
}


@dataclass(frozen=True)
class NwbFacts:
    """Facts of a recording that are not in its file.

    Attributes
    ----------
    start_time : datetime or str, optional
        ISO 8601, when the first sample was taken. Default: what the vendor's file says.
    time_zone : str, optional
        Name (`Europe/Berlin`) or offset (`+02:00`) of the zone in which a start time without one is.
    session, subject : mapping
        Values of `SESSION_FIELDS` and `SUBJECT_FIELDS`, as pynwb takes them.
    without_subject : bool
        Leave the subject out; the NWB Inspector calls that critical.
    location : str
        Where the electrodes are; this package is for recordings of the retina.
    waveform_volts_per_count : float, optional
        Scale of the sorter's waveforms. Default: that of the sensor stream, where the recording has it.
    """

    start_time: datetime | str | None = None
    time_zone: str | None = None
    session: Mapping[str, Any] = field(default_factory=dict)
    subject: Mapping[str, Any] = field(default_factory=dict)
    without_subject: bool = False
    location: str = "retina"
    waveform_volts_per_count: float | None = None

    def __post_init__(self) -> None:
        for name, (kinds, form) in _FORMS.items():
            if not isinstance(getattr(self, name), kinds):
                raise ConfigurationError(f"{name} must be {form}, not {getattr(self, name)!r}")
        for name, given, allowed in (
            ("session", self.session, SESSION_FIELDS),
            ("subject", self.subject, SUBJECT_FIELDS),
        ):
            if unknown := sorted(set(given) - set(allowed)):
                raise ConfigurationError(f"[{name}] has no {', '.join(unknown)}; it may have: {', '.join(allowed)}")


def read_facts(path: str | Path) -> NwbFacts:
    """Facts from a TOML file: `start_time`, `time_zone`, `location`, … and the tables `[session]`, `[subject]`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ConfigurationError
        It is not TOML, or has a key that is not one of `NwbFacts`.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found, no-redef, unused-ignore]

    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    names = [item.name for item in fields(NwbFacts)]
    if unknown := sorted(set(content) - set(names)):
        raise ConfigurationError(f"{path} has {', '.join(unknown)}; it may have: {', '.join(names)}")
    try:
        return NwbFacts(**content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


# ---------------------------------------------------------------- what is still to be said


def options_needed(session: PipelineSession, facts: NwbFacts) -> list[str]:
    """Options, with values of an example, for what is needed and not known."""
    options: list[str] = []
    given = facts.start_time if facts.start_time not in (None, "") else _vendors_time(session)
    if given is None:
        options += ["--start-time", _TIME_EXAMPLE]
    elif not facts.time_zone:
        try:
            start = given if isinstance(given, datetime) else _parsed(given, from_vendor=facts.start_time in (None, ""))
            options += [] if start.tzinfo else ["--time-zone", _ZONE_EXAMPLE]
        except ConfigurationError:
            options += ["--start-time", _TIME_EXAMPLE]
    if not facts.without_subject:
        for name in _missing(facts):
            options += ["--subject", f"{name}={_EXAMPLES[name]}"]
    return options


def _missing(facts: NwbFacts) -> list[str]:
    stated = {name for name, value in facts.subject.items() if value not in (None, "")}
    stated |= {"age"} & stated or ({"age"} if "date_of_birth" in stated else set())
    return [name for name in _EXAMPLES if name not in stated]


def facts_template(session: PipelineSession) -> str:
    """A TOML file of facts for `read_facts`: what the recording says is filled in, what else is needed is empty."""
    start = _vendors_time(session) or ""
    rows = [
        f"# What a NWB file says of {session.dataset_id} that its recording does not. Empty values are left out;",
        "# start_time with a zone (or time_zone), and [subject] or without_subject, are needed.",
        f"start_time = {json.dumps(start)}  # ISO 8601, such as {_TIME_EXAMPLE}",
        f'time_zone = ""  # of a start time without one: {_ZONE_EXAMPLE}, or +02:00',
        'location = "retina"  # of the electrodes',
        "without_subject = false",
        "",
        "[subject]",
        *(f'{name} = ""{_remark(name)}' for name in SUBJECT_FIELDS),
        "",
        "[session]",
        *(f"{name} = {'[]' if name in LISTS else json.dumps('')}" for name in SESSION_FIELDS),
    ]
    return "\n".join(rows) + "\n"


def _remark(name: str) -> str:
    remarks = {
        "species": "needed: a Latin binomial",
        "sex": f"needed: one of {', '.join(SEXES)} (U: unknown)",
        "age": "needed, or date_of_birth: an ISO 8601 duration",
        "subject_id": "needed",
    }
    return f"  # {remarks[name]}, such as {_EXAMPLES[name]}" if name in remarks else ""


# ---------------------------------------------------------------- start time


def start_time_of(session: PipelineSession, facts: NwbFacts) -> datetime:
    """Start of the recording, with its zone: as stated, else as the vendor's file says.

    Raises
    ------
    ConfigurationError
        Neither says it, it is not ISO 8601, or its zone is not known; the message names the option.
    """
    given = facts.start_time if facts.start_time not in (None, "") else _vendors_time(session)
    if given is None:
        raise ConfigurationError(
            f"{session.dataset_id} does not say when it was recorded: give --start-time (start_time), such as "
            "2024-05-01T10:30:00+02:00"
        )
    start = given if isinstance(given, datetime) else _parsed(given, from_vendor=facts.start_time in (None, ""))
    if start.tzinfo is None:
        if not facts.time_zone:
            raise ConfigurationError(
                f"the start time {start.isoformat()} has no time zone: give --time-zone (time_zone), such as "
                "Europe/Berlin or +02:00"
            )
        start = start.replace(tzinfo=_zone(facts.time_zone))
    if start > datetime.now(timezone.utc):
        raise ConfigurationError(f"the start time {start.isoformat()} is in the future")
    return start


def _vendors_time(session: PipelineSession) -> str | None:
    for name in ("sys_meta", "cmcr_meta", "cmtr_meta"):
        meta = session.metadata.get(name)
        if isinstance(meta, Mapping) and str(meta.get(_VENDOR_TIME) or "").strip():
            return str(meta[_VENDOR_TIME]).strip()
    return None


def _parsed(text: str, *, from_vendor: bool) -> datetime:
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())  # the vendor's ticks are tenths of a microsecond
    cut = re.sub(r"[Zz]$", "+00:00", cut)
    try:
        return datetime.fromisoformat(cut)
    except ValueError as error:
        where = f"the vendor's file says {text!r}, which" if from_vendor else f"{text!r}"
        raise ConfigurationError(
            f"{where} is not a time in ISO 8601: give --start-time (start_time), such as 2024-05-01T10:30:00+02:00"
        ) from error


def _zone(name: str) -> Any:
    if match := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name):
        return datetime.strptime("".join(match.groups()), "%z").tzinfo
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"no time zone is called {name!r}: use a name such as Europe/Berlin, or +02:00"
        ) from error


# ---------------------------------------------------------------- subject and session


def checked_subject(facts: NwbFacts) -> dict[str, Any] | None:
    """The subject as pynwb takes it; None where it is to be left out.

    Raises
    ------
    ConfigurationError
        What is needed and not known, by option, and values of another form.
    """
    subject = {name: value for name, value in facts.subject.items() if value not in (None, "")}
    if facts.without_subject:
        if subject:
            raise ConfigurationError("a subject is stated, and it is to be left out: which?")
        return None
    missing = [name for name in ("subject_id", "species", "sex") if name not in subject]
    missing += [] if {"age", "date_of_birth"} & subject.keys() else ["age (or date_of_birth)"]
    if missing:
        raise ConfigurationError(
            f"a NWB file says of whom it is: {', '.join(missing)} is not known. Give --facts FILE.toml with a table "
            "[subject], or --subject NAME=VALUE for each; --without-subject leaves the subject out"
        )
    checks = {
        "sex": (subject["sex"] in SEXES, f"one of {', '.join(SEXES)} (U: unknown)"),
        "species": (_SPECIES.fullmatch(str(subject["species"])), "a Latin binomial such as 'Mus musculus'"),
        "age": ("age" not in subject or _AGE.fullmatch(str(subject["age"])), "an ISO 8601 duration such as P70D"),
        "subject_id": ("/" not in str(subject["subject_id"]), "without a slash"),
    }
    for name, (is_right, form) in checks.items():
        if not is_right:
            raise ConfigurationError(f"subject: {name} must be {form}, not {subject[name]!r}")
    if "date_of_birth" in subject:
        born = subject["date_of_birth"]
        born = born if isinstance(born, datetime) else _parsed(str(born), from_vendor=False)
        subject["date_of_birth"] = born if born.tzinfo else born.replace(tzinfo=_zone(facts.time_zone or "+00:00"))
    return {name: value if isinstance(value, datetime) else str(value) for name, value in subject.items()}


def session_facts(facts: NwbFacts) -> dict[str, Any]:
    """The session's facts as pynwb takes them; what is not known is left out."""
    values: dict[str, Any] = {}
    for name, value in facts.session.items():
        if value in (None, "", []):
            continue
        values[name] = ([value] if isinstance(value, str) else list(value)) if name in LISTS else str(value)
    return values
