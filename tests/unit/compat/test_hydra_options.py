"""Hydra reads options through a repository of this shape."""

import inspect

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from llm_export.compat.hydra_options import on_options


def test_the_repository_has_the_shape_that_is_relied_on() -> None:
    assert list(inspect.signature(ConfigRepository.__init__).parameters)[1:] == [
        "config_search_path"
    ]
    assert list(inspect.signature(ConfigRepository.load_config).parameters)[1:] == ["config_path"]


def test_a_step_changes_what_is_composed() -> None:
    Plugins.instance()
    path = ConfigSearchPathImpl()
    path.append("llm_export", "pkg://llm_export.conf")
    loader = ConfigLoaderImpl(path)
    assert type(loader.repository) is ConfigRepository
    seen = []

    def step(name: str, body: dict[str, object]) -> bool:
        seen.append(name)
        body["description"] = "changed"
        return name == "quant/none"

    on_options(loader, step)
    one, other = (loader.repository.load_config(f"quant/{n}") for n in ("none", "8da8w"))
    assert one is not None
    assert OmegaConf.select(one.config, "description") == "changed"
    assert other is not None
    assert OmegaConf.select(other.config, "description") != "changed"
    assert seen == ["quant/none", "quant/8da8w"]
