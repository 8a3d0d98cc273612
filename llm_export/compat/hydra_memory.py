"""Compositions of the same choice of options, kept for the process.

Hydra finds the defaults list, reads its files and merges them into the schema for each composition,
and only then applies the overrides of keys. The variants of a sweep choose among few options. The
functions in between are no part of Hydra's public interface. Written for hydra-core 1.3.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.defaults_list import DefaultsList, Overrides
from omegaconf import DictConfig

from llm_export.compat.hydra_options import Repository, State

_KEPT = 64


@dataclass(frozen=True)
class _Made:
    asked: dict[str, State | None]
    parts: bytes
    """Pickled by this process, as ``config`` is: no other bytes are unpickled."""
    config: bytes
    """Before any override of a key."""


_MADE: OrderedDict[tuple[object, ...], _Made] = OrderedDict()
_COMMON: dict[tuple[object, ...], bytes] = {}
"""What a composition begins with, and the states of its files -> its files merged, pickled."""


@contextmanager
def remembered(loader: Any) -> Iterator[None]:
    """Context of one composition in which Hydra merges no files that it merged before.

    Args:
        loader: one whose repository is of ``on_options``. What a step changes is never kept, nor
            is what a file says that has changed since.
    """
    repository: Repository = loader.repository
    repository.asked.clear()
    repository.changed.clear()
    repository.states = {}
    list_of = config_loader_impl.create_defaults_list
    merge = loader._compose_config_from_defaults_list
    choices = defaults_list._create_interpolation_map
    made: _Made | None = None
    key: tuple[object, ...] = ()
    parts = b""

    def find(repo: Any, config_name: Any, overrides_list: Any, **how: bool) -> DefaultsList:
        nonlocal made, key, parts
        words = [o.input_line for o in overrides_list if _chooses(repo, o)]
        places = [(p.provider, p.path) for p in loader.get_search_path().get_path()]
        # Every recipe is composed under one name: what it says tells them apart.
        key = (*places, config_name, repository.state(config_name), *words, *sorted(how.items()))
        made = _MADE.get(key)
        if made and all(repository.state(name) == state for name, state in made.asked.items()):
            _MADE.move_to_end(key)
            repository.asked.update(made.asked)
            overrides = Overrides(repo=repo, overrides_list=overrides_list)
            defaults, tree, overrides.known_choices = pickle.loads(made.parts)
            return DefaultsList(defaults, tree, overrides.config_overrides, overrides)
        made = None
        found = list_of(repo=repo, config_name=config_name, overrides_list=overrides_list, **how)
        parts = pickle.dumps((found.defaults, found.defaults_tree, found.overrides.known_choices))
        return found

    def merged(defaults: Any, repo: Any) -> DictConfig:
        if made:
            return cast("DictConfig", pickle.loads(made.config))
        config = _after_common(loader, merge, defaults, repo)
        if not repository.changed:
            _MADE[key] = _Made(dict(repository.asked), parts, pickle.dumps(config))
            if len(_MADE) > _KEPT:
                _MADE.popitem(last=False)
        return config

    def choices_if_asked(overrides: Any, defaults_list: Any, self_added: bool) -> Any:
        """What interpolations in a defaults list may refer to, where there are any."""
        if any(default.is_interpolation() for default in defaults_list):
            return choices(overrides, defaults_list, self_added)
        return None

    config_loader_impl.create_defaults_list = find  # type: ignore[assignment]
    defaults_list._create_interpolation_map = choices_if_asked
    loader._compose_config_from_defaults_list = merged
    try:
        yield
    finally:
        repository.states = None
        config_loader_impl.create_defaults_list = list_of
        defaults_list._create_interpolation_map = choices
        del loader._compose_config_from_defaults_list


def _after_common(loader: Any, merge: Any, defaults: list[Any], repo: Any) -> DictConfig:
    """As ``merge``; what every recipe begins with, Hydra's own options and the schema, is taken
    from the composition before, where that began with the same."""
    repository: Repository = loader.repository
    count = next((i for i, d in enumerate(defaults) if not _is_common(d.config_path)), 0)
    common, own = defaults[:count], defaults[count:]
    if not common or any(d.config_path in repository.changed for d in common):
        return cast("DictConfig", merge(defaults=defaults, repo=repo))
    key = tuple((d.config_path, d.package, repository.state(d.config_path)) for d in common)
    if key not in _COMMON:
        made = merge(defaults=common, repo=repo)
        _COMMON.clear()
        _COMMON[key] = pickle.dumps(made)
    load = loader._load_single_config

    def first_or_read(default: Any, repo: Any) -> Any:
        if default is common[-1]:
            return SimpleNamespace(config=pickle.loads(_COMMON[key]))
        return load(default=default, repo=repo)

    loader._load_single_config = first_or_read
    try:
        return cast("DictConfig", merge(defaults=[common[-1], *own], repo=repo))
    finally:
        del loader._load_single_config


def _is_common(config_path: str) -> bool:
    return config_path.startswith(("hydra/", "schema/"))


def _chooses(repo: Any, override: Any) -> bool:
    """Whether an override is one of a group, not of a key."""
    return not override.is_sweep_override() and repo.group_exists(override.key_or_group)
