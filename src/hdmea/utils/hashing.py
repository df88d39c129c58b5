"""The hash that tells two configurations apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hdmea.utils.exceptions import ConfigurationError


def params_hash(config: Mapping[str, Any] | None) -> str:
    """`"sha256:"` and the first 16 hex digits of SHA-256 over the config as JSON; no config counts as `{}`.

    Raises `ConfigurationError` for a config that JSON cannot hold.
    """
    try:
        text = json.dumps(dict(config or {}), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the config must consist of what JSON can hold: {error}") from error
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
