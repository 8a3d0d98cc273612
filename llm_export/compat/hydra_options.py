"""A step between reading a file of options and composing it.

Hydra reads every option through its loader's repository and merges it into the schema at once. An
option that a third party wrote for an earlier schema must be changed before that. The repository is
no part of Hydra's public interface. Written for hydra-core 1.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from omegaconf import OmegaConf

Step = Callable[[str, dict[str, Any]], bool]
"""(GROUP/NAME, or NAME of a recipe, body as plain data) -> whether it has changed the body."""


class _Repository(ConfigRepository):
    def __init__(self, loader: Any, step: Step) -> None:
        super().__init__(loader.get_search_path())
        # Hydra copies the repository deeply: a plain function is not copied with it.
        self._step: Step = lambda name, body: step(name, body)

    def load_config(self, config_path: str) -> Any:
        loaded = super().load_config(config_path)
        if loaded is None or not loaded.path.startswith(("file://", "pkg://")):
            return loaded
        body = OmegaConf.to_container(loaded.config, resolve=False)
        if isinstance(body, dict) and self._step(config_path, body):  # type: ignore[arg-type]
            loaded.config = OmegaConf.create(body)
        return loaded


def on_options(loader: Any, step: Step) -> None:
    """Have ``loader`` call ``step`` for each file of options or recipe that it reads."""
    loader.repository = _Repository(loader, step)
