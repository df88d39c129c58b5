"""Everything that is wrong with a request, in one message instead of one a try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hdmea.utils.exceptions import ConfigurationError


class Problems:
    """Collects errors of a request that is checked before any work, and raises them together."""

    def __init__(self) -> None:
        self._found: list[Exception] = []

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep an error of the block that says what is wrong with the request; the next block is checked as well."""
        try:
            yield
        except (ConfigurationError, ValueError, TypeError, FileNotFoundError) as error:
            self._found.append(error)

    def raise_any(self) -> None:
        """Raise the one error as it is, or several as one `ConfigurationError` that lists them."""
        texts = list(dict.fromkeys(str(error) for error in self._found))
        if len(texts) == 1:
            raise self._found[0]
        if texts:
            raise ConfigurationError(f"{len(texts)} things are wrong: " + "; ".join(texts)) from self._found[0]
