"""Everything that is wrong with a request, in one message instead of one a try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hdmea.utils.exceptions import ConfigurationError


class _SeveralError(ConfigurationError):
    """Several errors in one message."""

    errors: tuple[Exception, ...] = ()


class Problems:
    """Collects errors of a request that is checked before any work, and raises them together."""

    def __init__(self) -> None:
        self._found: list[Exception] = []

    @contextmanager
    def noting(self, where: str = "") -> Iterator[None]:
        """Keep an error of the block that says what is wrong with the request; the next block is checked as well.

        where: put before each message.
        """
        try:
            yield
        except (ConfigurationError, ValueError, TypeError, OSError) as error:
            errors = error.errors if isinstance(error, _SeveralError) else (error,)
            self._found += [ConfigurationError(f"{where}: {one}") for one in errors] if where else errors

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise the one error as it is, or several as one `ConfigurationError` that lists them."""
        different = list({str(error): error for error in reversed(self._found)}.values())[::-1]
        if len(different) == 1:
            raise different[0]
        if different:
            several = _SeveralError(f"{len(different)} things are wrong: " + "; ".join(map(str, different)))
            several.errors = tuple(different)
            raise several from different[0]
