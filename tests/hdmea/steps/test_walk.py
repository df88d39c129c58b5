"""How often loading a recording goes from one module of ours to another."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType

import h5burst
import hdmea
from hdmea.pipeline import create_session, load_recording
from hdmea.simulate import SimulatedRecording


def test_a_recording_of_three_units_is_loaded_in_few_steps(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    """Counted from one call of a function of ours to the next.

    288 when this was written; 2097 before small tables were read together and slices of rows by compiled code alone.
    """
    own = tuple(os.path.dirname(str(package.__file__)) + os.sep for package in (h5burst, hdmea))
    modules: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(own):
            modules.append(frame.f_code.co_filename)

    paths = small_recording.cmcr_path, small_recording.cmtr_path
    load_recording(*paths, session=create_session("first", output_dir=tmp_path))
    session = create_session("second", output_dir=tmp_path)
    sys.setprofile(note)
    try:
        load_recording(*paths, session=session)
    finally:
        sys.setprofile(None)
    assert session.unit_count == 3
    assert sum(one != other for one, other in pairwise(modules)) < 300
