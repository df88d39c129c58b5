"""One step with its arguments, as flows, batches and the command have it and run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdmea.session.session import PipelineSession
from hdmea.step_table import OPTIONAL, Step, step_named, takes_path
from hdmea.steps.argument_types import check_argument
from hdmea.steps.run_step import note_warning
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from hdmea.utils.problems import Problems


@dataclass(frozen=True)
class StepCall:
    """A step's name and its keyword arguments.

    `optional` among them is for who runs it: true where a recording may lack what the step needs (no noise movie was
    shown, say). The step is then skipped, and a warning says so in the log and in the session or the file.
    """

    name: str
    arguments: Mapping[str, Any]

    @property
    def row(self) -> Step:
        """The step's row of the table. Raises `ConfigurationError` that lists the steps for an unknown name."""
        return step_named(self.name)

    def with_arguments(self, arguments: Mapping[str, Any]) -> StepCall:
        """The same with arguments that replace its own."""
        return replace(self, arguments={**self.arguments, **arguments})

    def with_whole_paths(self, directory: Path) -> StepCall:
        """The same for a process in any directory: relative paths among the arguments start at this one."""
        return replace(
            self,
            arguments={
                name: str((directory / value).absolute())
                if takes_path(name) and isinstance(value, (str, Path))
                else value
                for name, value in self.arguments.items()
            },
        )

    def check_names(self) -> None:
        """Raise `ConfigurationError` for an unknown step, and for arguments that it does not take."""
        names = self.row.parameters()
        if unknown := sorted(set(self.arguments) - set(names)):
            raise ConfigurationError(
                f"{self.name} takes no {', '.join(unknown)} here; {there_are(unknown[0], sorted(names))}"
            )

    def check(self) -> None:
        """As `check_names`, and for values of the wrong type, and names of what there is not: all in one error."""
        self.check_names()
        problems = Problems()
        for name, value in self.arguments.items():
            with problems.noting():
                if name == OPTIONAL and not isinstance(value, bool):
                    raise ConfigurationError(f"{self.name}.{OPTIONAL} must be true or false, not {value!r}")
                check_argument(self.name, name, value)
        problems.raise_any()
        self.row.check_arguments(self.arguments)

    def run(
        self, *, hdf5_path: Path | None = None, session: PipelineSession | None = None, **by_runner: Any
    ) -> tuple[Any, str]:
        """Run the step on a session or on a file; what it returned, and why it was skipped (or an empty text).

        by_runner: what only the runner sets, such as `force`.

        Raises `MissingInputError` for a missing input of a step that is not optional, and what the step raises.
        """
        arguments = dict(self.arguments)
        is_optional = bool(arguments.pop(OPTIONAL, False))
        where = {"session": session} if session is not None else {"hdf5_path": hdf5_path}
        try:
            return self.row.function(**arguments, **where, **by_runner), ""
        except MissingInputError as error:
            if not is_optional:
                raise
            reason = f"{self.name} is skipped: {error}"
        note_warning(reason, hdf5_path, session)
        return session, reason
