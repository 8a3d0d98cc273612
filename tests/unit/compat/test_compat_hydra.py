"""What is relied on of Hydra and OmegaConf."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from omegaconf import DictConfig, OmegaConf

from llm_export.compat import hydra_targets
from llm_export.compat.hydra_config import (
    Callbacks,
    ConfigSearchPathImpl,
    Hydra,
    completions,
    stored,
    sweep_jobs,
)
from llm_export.compat.hydra_options import on_options
from llm_export.compat.hydra_overrides import before_each_override
from llm_export.compat.omegaconf_nodes import child_node, declared_type, is_null


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def loader() -> ConfigLoaderImpl:
    Plugins.instance()  # registers the sources behind pkg://
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("llm_export", "pkg://llm_export.conf")
    path.append("schema", "structured://")
    return ConfigLoaderImpl(path)


def test_signatures() -> None:
    assert names(ConfigSearchPathImpl.append)[:3] == ["self", "provider", "path"]
    assert names(Hydra.create_main_hydra2) == ["task_name", "config_search_path"]
    assert names(Hydra) == ["task_name", "config_loader"]
    assert names(Hydra.compose_config)[:5] == [
        "self", "config_name", "overrides", "run_mode", "with_log_configuration",
    ]  # fmt: skip
    assert names(Hydra.show_cfg)[1:6] == ["config_name", "overrides", "cfg_type", "package",
                                          "resolve"]  # fmt: skip
    assert names(Callbacks)[0] == "config"
    assert names(DefaultCompletionPlugin._query) == ["self", "config_name", "line"]
    assert "load_config" in IConfigRepository.__abstractmethods__


def test_a_stored_config() -> None:
    found = stored(loader(), "export_base")
    assert found.path == "pkg://llm_export.conf"
    assert found.is_schema_source is False
    assert isinstance(found.config, DictConfig)
    assert stored(loader(), "there_is_none") is None


def test_a_step_on_each_file_of_options() -> None:
    made, seen = loader(), []

    def step(name: str, body: dict[str, Any]) -> bool:
        seen.append(name)
        body["added"] = 1
        return name == "export_base"

    on_options(made, step)
    assert stored(made, "export_base").config.added == 1
    assert "added" not in stored(made, "backend/xnnpack").config
    assert seen == ["export_base", "backend/xnnpack"]


def test_combinations_of_a_sweep() -> None:
    parsed = OverridesParser.create().parse_overrides(["a=1,2", "b=x,y", "c=3"])
    assert sweep_jobs(parsed) == [
        ["a=1", "b=x", "c=3"], ["a=1", "b=y", "c=3"],
        ["a=2", "b=x", "c=3"], ["a=2", "b=y", "c=3"],
    ]  # fmt: skip


def test_words_that_complete_a_line() -> None:
    found = completions(DefaultCompletionPlugin(loader()), "export_base", "backend=xnn")
    assert found == ["backend=xnnpack"]


def test_targets_of_hydras_own_config() -> None:
    own = stored(loader(), "hydra/sweeper/basic").config
    assert str(OmegaConf.select(own, "_target_")).startswith(hydra_targets.OWN)


def test_a_step_before_each_override() -> None:
    plain = ConfigLoaderImpl._apply_overrides_to_config
    assert names(plain) == ["overrides", "cfg"], "a static method of these two"
    cfg = OmegaConf.create({"block": None, "n": 1})
    parsed = OverridesParser.create().parse_overrides(["n=2", "block.key=3"])
    seen = []

    def step(config: DictConfig, override: Any) -> None:
        seen.append((override.key_or_group, config.n))
        if config.block is None:
            config.block = {"key": 0}

    with before_each_override(step):
        ConfigLoaderImpl._apply_overrides_to_config(parsed, cfg)
    assert seen == [("n", 1), ("block.key", 2)]
    assert cfg == {"block": {"key": 3}, "n": 2}
    assert ConfigLoaderImpl._apply_overrides_to_config is plain


@dataclass
class Inner:
    key: int = 5


@dataclass
class Outer:
    inner: Inner | None = None
    given: Inner = field(default_factory=Inner)


def test_a_null_block_says_what_it_may_hold() -> None:
    cfg = OmegaConf.structured(Outer)
    assert cfg.inner is None
    node = child_node(cfg, "inner")
    assert isinstance(node, DictConfig)
    assert is_null(node)
    assert declared_type(node) is Inner
    assert not is_null(child_node(cfg, "given"))
