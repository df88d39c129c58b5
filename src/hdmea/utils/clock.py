"""The one way in which times are written down."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """The time now as ISO 8601 text, UTC, to the microsecond."""
    return datetime.now(timezone.utc).isoformat()
