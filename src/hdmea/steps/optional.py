"""Steps as flows, batches and the command run them: one that is optional is skipped where its input is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdmea.session.session import PipelineSession
from hdmea.steps.run_step import note_warning
from hdmea.steps.table import OPTIONAL, step_named
from hdmea.utils.exceptions import MissingInputError


def run_optional(
    name: str,
    arguments: Mapping[str, Any],
    *,
    hdf5_path: Path | None = None,
    session: PipelineSession | None = None,
    **by_runner: Any,
) -> tuple[Any, str]:
    """Run a step on a session or on a file; what it returned, and why it was skipped (or an empty text).

    arguments: the step's own, and `optional`: true where a recording may lack what the step needs (no noise movie was
    shown, say). The step is then skipped, and a warning says so in the log and in the session or the file.
    by_runner: what only the runner sets, such as `force`.

    Raises `MissingInputError` for a missing input of a step that is not optional, and what the step raises.
    """
    own = dict(arguments)
    is_optional = bool(own.pop(OPTIONAL, False))
    where = {"session": session} if session is not None else {"hdf5_path": hdf5_path}
    try:
        return step_named(name).function(**own, **where, **by_runner), ""
    except MissingInputError as error:
        if not is_optional:
            raise
        reason = f"{name} is skipped: {error}"
    note_warning(reason, hdf5_path, session)
    return session, reason
