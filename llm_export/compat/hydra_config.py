"""Hydra's composition without ``@hydra.main`` or its global state.

Hydra's ``compose`` API takes one search path from a global singleton and has no listing of options,
no sweeps and no launchers. The objects behind it do. Written for hydra-core 1.3.
"""

from __future__ import annotations

from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra

__all__ = [
    "Callbacks",
    "ConfigLoaderImpl",
    "ConfigSearchPathImpl",
    "Hydra",
    "completions",
    "stored",
    "sweep_jobs",
]


def stored(loader: Any, name: str) -> Any:
    """The file of a config as it is stored, with ``config``, ``path`` and ``is_schema_source``;
    None if there is none."""
    return loader.repository.load_config(name)


def sweep_jobs(overrides: list[Any]) -> list[list[str]]:
    """Every combination of the values that parsed overrides sweep over, as override strings."""
    return BasicSweeper.split_arguments(overrides, None)[0]


def completions(plugin: Any, config_name: str, line: str) -> list[str]:
    """What a completion plugin offers after ``line``; its public method prints instead."""
    return plugin._query(config_name=config_name, line=line)
