"""Names of features, and the classes behind them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from hdmea.features.base import FeatureExtractor
from hdmea.utils.choices import there_are
from hdmea.utils.user_modules import ENTRY_POINTS

Extractor = TypeVar("Extractor", bound=type[FeatureExtractor])


class FeatureRegistry:
    """The one list of features. Those of this package are in it once `hdmea.features` is imported.

    Those of other packages come from their entry points of the group `hdmea.features`, when a feature is first asked
    for: each names a `FeatureExtractor`, registered under the entry point's name, or a module that registers its own.

    Examples
    --------
    >>> from hdmea.features import FeatureRegistry
    >>> FeatureRegistry.is_registered("frif"), FeatureRegistry.get("frif").__name__
    (True, 'Frif')
    """

    _registry: ClassVar[dict[str, type[FeatureExtractor]]] = {}
    _broken: ClassVar[dict[str, str]] = {}
    _plugins_loaded: ClassVar[bool] = False

    @classmethod
    def register(cls, name: str) -> Callable[[Extractor], Extractor]:
        """Decorator: make a class known under a name, and write the name to it.

        Parameters
        ----------
        name
            Of the feature.

        Returns
        -------
        callable
            Takes the class and returns it.

        Raises
        ------
        ValueError
            The name is taken or empty.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"a feature's name must be text, not {name!r}")

        def add(extractor: Extractor) -> Extractor:
            if name in cls._registry:
                raise ValueError(f"feature {name!r} is already registered, by {cls._registry[name].__name__}")
            extractor.name = name
            cls._registry[name] = extractor
            return extractor

        return add

    @classmethod
    def get(cls, name: str) -> type[FeatureExtractor]:
        """The class of that name.

        Parameters
        ----------
        name
            Of a feature.

        Returns
        -------
        type
            A subclass of `FeatureExtractor`.

        Raises
        ------
        KeyError
            There is none; the message lists the names that there are, and entry points that do not load.
        """
        cls._load_plugins()
        try:
            return cls._registry[name]
        except KeyError:
            raise KeyError(cls.why_unknown(name)) from None

    @classmethod
    def why_unknown(cls, *names: str) -> str:
        """Message about names that no feature has: the features that there are, once."""
        broken = "".join(f"; the entry point {entry} cannot be loaded: {why}" for entry, why in cls._broken.items())
        said = f"Unknown feature{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"
        return f"{said}; {there_are(names[0], cls.list_all())}{broken}"

    @classmethod
    def list_all(cls) -> list[str]:
        """All names, sorted."""
        cls._load_plugins()
        return sorted(cls._registry)

    @classmethod
    def get_metadata(cls, name: str) -> dict[str, Any]:
        """A feature's name, version, inputs, outputs, runtime class and description.

        Parameters
        ----------
        name
            Of a feature.

        Returns
        -------
        dict
            `name`, `version`, `required_inputs`, `output_schema`, `runtime_class`, `description`.

        Raises
        ------
        KeyError
            As of `get`.
        """
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
    def is_registered(cls, name: str, *, entry_points: bool = True) -> bool:
        """True where there is a feature of that name."""
        if entry_points:
            cls._load_plugins()
        return name in cls._registry

    @classmethod
    def clear(cls) -> None:
        """Forget every feature, those of entry points as well."""
        cls._registry.clear()
        cls._broken.clear()
        cls._plugins_loaded = True

    @classmethod
    def _load_plugins(cls) -> None:
        """Load what other packages offer, once. One that does not load is a warning, and the rest go on."""
        if cls._plugins_loaded:
            return
        from importlib import metadata

        cls._plugins_loaded = True
        for entry in metadata.entry_points(group=ENTRY_POINTS):
            try:
                offered = entry.load()
                is_feature = isinstance(offered, type) and issubclass(offered, FeatureExtractor)
                if is_feature and cls._registry.get(entry.name) is not offered:
                    cls.register(entry.name)(offered)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code: it must not stop the features that work
                cls._broken[f"{entry.name} = {entry.value}"] = f"{type(error).__name__}: {error}"
                message = f"the feature of the entry point {entry.name} = {entry.value} cannot be loaded: {error}"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
