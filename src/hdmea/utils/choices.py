"""Messages about a name that is none of those there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def there_are(given: object, names_known: Iterable[str]) -> str:
    """`there are: a, b`, after `did you mean 'a'?` where the name that was given is like one of them."""
    names, lowered = list(names_known), str(given).lower()
    by_lower = {name.lower(): name for name in reversed(names)}
    begun = [name for name in by_lower if len(lowered) > 2 and name.startswith(lowered)]
    close = get_close_matches(lowered, by_lower, n=1) or begun[:1]
    question = f"did you mean {by_lower[close[0]]!r}? " if close else ""
    return f"{question}there are: {', '.join(names) or 'none'}"
