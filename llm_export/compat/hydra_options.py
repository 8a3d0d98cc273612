"""A step between reading a file of options and composing it.

Hydra reads every option through its loader's repository and merges it into the schema at once. An
option that a third party wrote for an earlier schema must be changed before that. The repository is
no part of Hydra's public interface. Written for hydra-core 1.3.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf

Step = Callable[[str, dict[str, Any]], bool]
"""(GROUP/NAME, or NAME of a recipe, body as plain data) -> whether it has changed the body."""


_FILES: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
"""(source, option, state of its file) -> the option as Hydra read it and as plain data, pickled.

Only bytes that this process pickled itself are unpickled. A composition reads twenty files, and
nearly always those of the one before; unpickling one takes a tenth of the time of parsing it."""


class _Repository(ConfigRepository):
    def __init__(self, loader: Any, step: Step) -> None:
        super().__init__(loader.get_search_path())
        self._step = step

    def __deepcopy__(self, memo: dict[int, Any]) -> _Repository:
        # Hydra replaces the sources of its copy, and changes nothing in them.
        return copy.copy(self)

    def load_config(self, config_path: str) -> Any:
        key = self._state(config_path)
        if key is None:
            return super().load_config(config_path)
        if key not in _FILES:
            read = super().load_config(config_path)
            assert read is not None
            body = OmegaConf.to_container(read.config, resolve=False)
            _FILES[key] = pickle.dumps(read), pickle.dumps(body)
        loaded, body = map(pickle.loads, _FILES[key])
        if isinstance(body, dict) and self._step(config_path, body):  # type: ignore[arg-type]
            loaded.config = OmegaConf.create(body)
        return loaded

    def _state(self, config_path: str) -> tuple[object, ...] | None:
        """What a file of options is recognized by; None for what is in no file."""
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        scheme, _, place = ("", "", "") if source is None else source.full_path().partition("://")
        name = ConfigSource._normalize_file_name(config_path)
        if scheme == "pkg":
            file = resources.files(place).joinpath(name)
        elif scheme == "file":
            file = Path(place, name)
        else:
            return None
        state = file.stat() if isinstance(file, Path) and file.is_file() else None
        origin = (source.provider, scheme, place, name)  # type: ignore[union-attr]
        return state and (*origin, state.st_mtime_ns, state.st_size, state.st_ino)


def on_options(loader: Any, step: Step) -> None:
    """Have ``loader`` call ``step`` for each file of options or recipe that it reads."""
    loader.repository = _Repository(loader, step)
