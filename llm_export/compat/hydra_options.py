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
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf

State = tuple[object, ...]

Step = Callable[[str, dict[str, Any]], bool]
"""(GROUP/NAME, or NAME of a recipe, body as plain data) -> whether it has changed the body."""

Check = Callable[[str, Path], None]
"""(name, file): raises if a file of a folder, which no package brought, may not be read."""


_FILES: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
"""(source, option, state of its file) -> the option as Hydra read it and as plain data, pickled;
and structured configs, which Hydra would copy node by node.

Only bytes that this process pickled itself are unpickled. A composition reads twenty files, and
nearly always those of the one before; unpickling one takes a tenth of the time of parsing it."""


class Repository(ConfigRepository):
    """Hydra's repository, with a step on each file that it reads.

    Attributes:
        asked: the state of whatever was asked for, by name; None for what is nowhere.
        changed: the names of those that the step has changed.
        states: what ``state`` has found, by name, during one composition; None outside of one.
    """

    def __init__(self, loader: Any, step: Step, check: Check) -> None:
        super().__init__(loader.get_search_path())
        self._step, self._check = step, check
        self.asked: dict[str, State | None] = {}
        self.changed: set[str] = set()
        self.states: dict[str, State | None] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Repository:
        # Hydra replaces the sources of its copy, and changes nothing in them.
        return copy.copy(self)

    def load_config(self, config_path: str) -> Any:
        key = self.asked[config_path] = self.state(config_path)
        if key is None or not ((stored := key[0] in ("pkg", "file")) or _is_fixed(key)):
            return super().load_config(config_path)
        if key not in _FILES:
            if key[0] == "file":
                self._check(config_path, Path(str(key[2]), str(key[3])))
            read = super().load_config(config_path)
            assert read is not None
            body = OmegaConf.to_container(read.config, resolve=False) if stored else None
            _FILES[key] = pickle.dumps(read), pickle.dumps(body)
        loaded, body = map(pickle.loads, _FILES[key])
        if isinstance(body, dict) and self._step(config_path, body):  # type: ignore[arg-type]
            self.changed.add(config_path)
            loaded.config = OmegaConf.create(body)
        return loaded

    def config_exists(self, config_path: str) -> bool:
        self.asked[config_path] = self.state(config_path)
        return self.asked[config_path] is not None

    def state(self, config_path: str) -> State | None:
        """What a config is recognized by: another content has another state. None: there is none.
        The state of one in a place that does not say what has changed is never the same."""
        if self.states is None:
            return self._state(config_path)
        if config_path not in self.states:
            self.states[config_path] = self._state(config_path)
        return self.states[config_path]

    def _state(self, config_path: str) -> State | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return None
        scheme, _, place = source.full_path().partition("://")
        name = ConfigSource._normalize_file_name(config_path)
        if scheme == "structured":
            return "structured", source.provider, name, _content(name)
        if scheme == "pkg":
            file: Any = resources.files(place).joinpath(name)
        elif scheme == "file":
            file = Path(place, name)
        else:
            file = None
        if not isinstance(file, Path) or not file.is_file():
            return "elsewhere", _Same(object())
        state = file.stat()
        origin = (scheme, source.provider, place, name)
        return *origin, state.st_mtime_ns, state.st_size, state.st_ino


def place_of(loader: Any, config_path: str) -> str:
    """The package or folder in which the latest composition found a file; '' if in neither."""
    state = loader.repository.asked.get(config_path)
    return str(state[2]) if state and state[0] in ("pkg", "file") else ""


def _is_fixed(state: State) -> bool:
    """Whether it is that of a structured config, which nobody changes."""
    return state[0] == "structured" and isinstance(state[-1], _Same)


def _content(name: str) -> object:
    """Of plain data its text; of a structured config, which nobody changes, itself."""
    node = ConfigStore.instance()._load(name).node
    if OmegaConf.get_type(node) is dict:
        return repr(OmegaConf.to_container(node, resolve=False))
    return _Same(node)


class _Same:
    """Equal to itself only; keeps its object, so that no other takes the identity."""

    def __init__(self, held: object) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._held is other._held

    def __hash__(self) -> int:
        return id(self._held)


def on_options(loader: Any, step: Step, check: Check = lambda name, file: None) -> None:
    """Have ``loader`` call ``check`` before it reads a file of options or a recipe from a folder,
    and ``step`` with the content of each that it reads."""
    loader.repository = Repository(loader, step, check)
