"""A patch of how Hydra applies overrides: one by one, with a step before each.

Hydra merges all overrides in one function, and has no hook between the defaults and the overrides.
A block that is null must be given its defaults there, before an override can set a key of it.
Written for hydra-core 1.3. The patch holds only inside the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig


@contextmanager
def before_each_override(step: Callable[[DictConfig, Override], None]) -> Iterator[None]:
    """Context in which Hydra calls ``step(config, override)`` before it applies an override."""
    original = ConfigLoaderImpl._apply_overrides_to_config

    def apply(overrides: list[Override], cfg: DictConfig) -> None:
        for override in overrides:
            step(cfg, override)
            original([override], cfg)

    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(apply)  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl._apply_overrides_to_config = staticmethod(original)  # type: ignore[method-assign]
