"""Names of features, and the classes behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from hdmea.features.base import FeatureExtractor

Extractor = TypeVar("Extractor", bound=type[FeatureExtractor])


class FeatureRegistry:
    """The one list of features. Those of this package are in it once `hdmea.features` is imported."""

    _classes: ClassVar[dict[str, type[FeatureExtractor]]] = {}

    @classmethod
    def register(cls, name: str) -> Callable[[Extractor], Extractor]:
        """Decorator: make a class known under `name`. `ValueError` for a name that is taken or empty."""
        if not isinstance(name, str) or not name:
            raise ValueError(f"a feature's name must be text, not {name!r}")

        def add(extractor: Extractor) -> Extractor:
            if name in cls._classes:
                raise ValueError(f"feature {name!r} is registered already, by {cls._classes[name].__name__}")
            cls._classes[name] = extractor
            return extractor

        return add

    @classmethod
    def get(cls, name: str) -> type[FeatureExtractor]:
        """The class of that name. `KeyError` that lists the names there are."""
        try:
            return cls._classes[name]
        except KeyError:
            raise KeyError(f"no feature {name!r}; there are: {', '.join(cls.list_all()) or 'none'}") from None

    @classmethod
    def list_all(cls) -> list[str]:
        """All names, sorted."""
        return sorted(cls._classes)

    @classmethod
    def get_metadata(cls, name: str) -> dict[str, Any]:
        """A feature's name, version, inputs, outputs, runtime class and description. `KeyError` as in `get`."""
        extractor = cls.get(name)
        return {
            "name": name,
            "version": extractor.version,
            "required_inputs": list(extractor.required_inputs),
            "output_schema": dict(extractor.output_schema),
            "runtime_class": extractor.runtime_class,
            "description": extractor.description,
        }

    @classmethod
    def get_all_metadata(cls) -> dict[str, dict[str, Any]]:
        """`get_metadata` of every feature, by name."""
        return {name: cls.get_metadata(name) for name in cls.list_all()}

    @classmethod
    def is_registered(cls, name: str) -> bool:
        return name in cls._classes

    @classmethod
    def clear(cls) -> None:
        """Forget every feature."""
        cls._classes.clear()
