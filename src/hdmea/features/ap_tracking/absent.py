"""Names that scripts call of a neural network that is not part of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def absent(name: str) -> Callable[..., NoReturn]:
    """A function that can be imported; called, it says what to call instead."""

    def call(*arguments: Any, **options: Any) -> NoReturn:
        raise NotImplementedError(
            f"{name} belongs to a neural network that is not part of this package: call "
            "hdmea.features.ap_tracking.compute_ap_tracking(hdf5_path, session=...), which follows axons without one"
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Not available: raises `NotImplementedError`, which names what to call instead of {name}."
    return call
