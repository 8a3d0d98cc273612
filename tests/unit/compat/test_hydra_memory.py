"""Hydra composes with two functions between the overrides of groups and those of keys."""

import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.defaults_list import (
    DefaultsList,
    Overrides,
    _create_interpolation_map,
    create_defaults_list,
)
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from llm_export.compat import hydra_memory
from llm_export.compat.hydra_memory import remembered
from llm_export.compat.hydra_options import on_options


@pytest.fixture(autouse=True)
def nothing_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydra_memory, "_MADE", type(hydra_memory._MADE)())
    monkeypatch.setattr(hydra_memory, "_COMMON", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "main.yaml": "defaults: [{colour: red}, {optional shape: none}, _self_]\nn: 1\n",
        "colour/red.yaml": "name: red\nlight: ${n}\n",
        "colour/blue.yaml": "name: blue\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


class Composing:
    def __init__(self, *folders: Path, step: Any = lambda name, body: False) -> None:
        Plugins.instance()
        path = ConfigSearchPathImpl()
        path.append("hydra", "pkg://hydra.conf")
        for folder in folders:
            path.append("test", f"file://{folder}")
        path.append("schema", "structured://")
        self.loader = ConfigLoaderImpl(path)
        on_options(self.loader, step)

    def __call__(self, *words: str, name: str = "main") -> dict[str, Any]:
        with remembered(self.loader):
            cfg = self.loader.load_configuration(name, list(words), RunMode.RUN)
        found: Any = OmegaConf.to_container(cfg, resolve=False)
        self.hydra = found.pop("hydra")
        return found


def test_the_functions_have_the_shape_that_is_relied_on() -> None:
    assert list(inspect.signature(create_defaults_list).parameters) == [
        "repo", "config_name", "overrides_list", "prepend_hydra", "skip_missing",
    ]  # fmt: skip
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    assert list(inspect.signature(merge).parameters) == ["self", "defaults", "repo"]
    assert list(inspect.signature(Overrides).parameters) == ["repo", "overrides_list"]
    choices = inspect.signature(_create_interpolation_map).parameters
    assert list(choices) == ["overrides", "defaults_list", "self_added"]
    assert list(inspect.signature(DefaultsList).parameters) == [
        "defaults", "defaults_tree", "config_overrides", "overrides",
    ]  # fmt: skip


def test_a_second_composition_is_the_first_and_shares_nothing(folder: Path) -> None:
    cold = Composing(folder)
    first = cold("colour=blue", "n=2")
    warm = Composing(folder)
    assert warm("colour=blue", "n=3") == {**first, "n": 3}
    assert len(hydra_memory._MADE) == 1
    assert warm.hydra["runtime"]["choices"] == cold.hydra["runtime"]["choices"]
    assert warm.hydra["overrides"]["task"] == ["colour=blue", "n=3"]
    assert warm("colour=blue", "n=2") == first
    assert warm() == {"colour": {"name": "red", "light": "${n}"}, "n": 1}
    assert len(hydra_memory._MADE) == 2


def test_what_changes_is_read_again(folder: Path) -> None:
    compose = Composing(folder)
    assert compose()["colour"]["name"] == "red"
    (folder / "colour/red.yaml").write_text("name: dark red\n")
    assert compose()["colour"] == {"name": "dark red"}
    (folder / "shape").mkdir()
    (folder / "shape/none.yaml").write_text("corners: 0\n")
    assert compose()["shape"] == {"corners": 0}, "an optional file that was not there"
    os.remove(folder / "shape/none.yaml")
    assert "shape" not in compose()


def test_what_every_recipe_begins_with_is_merged_once(folder: Path) -> None:
    """Hydra's options; what a folder has in one's place is taken, and a former place again."""
    compose = Composing(folder)
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    compose()
    (held,) = hydra_memory._COMMON.values()
    taken = Composing(folder)
    assert taken("colour=blue")["colour"] == {"name": "blue"}
    assert list(hydra_memory._COMMON.values()) == [held]
    hydra_memory._MADE.clear()
    hydra_memory._COMMON.clear()
    whole = Composing(folder)
    assert whole("colour=blue") == taken("colour=blue")
    assert whole.hydra == taken.hydra
    assert ConfigLoaderImpl._compose_config_from_defaults_list is merge
    (folder / "hydra/help").mkdir(parents=True)
    (folder / "hydra/help/own.yaml").write_text("app_name: own\n")
    own = Composing(folder)
    own("hydra/help=own")
    assert own.hydra["help"]["app_name"] == "own"
    own()
    assert own.hydra["help"] == taken.hydra["help"]


def test_a_defaults_list_may_refer_to_a_choice(folder: Path) -> None:
    text = "defaults: [{colour: red}, {shade: '${colour}'}, _self_]\n"
    (folder / "main.yaml").write_text(text)
    (folder / "shade").mkdir()
    for name in ("red", "blue"):
        (folder / "shade" / f"{name}.yaml").write_text(f"of: {name}\n")
    assert Composing(folder)()["shade"] == {"of": "red"}
    assert Composing(folder)("colour=blue")["shade"] == {"of": "blue"}


def test_recipes_of_one_name_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ConfigStore.instance().repo, "stored.yaml", raising=False)
    compose = Composing(folder)
    texts = [(folder / "main.yaml").read_text(), "defaults: [{colour: blue}]\nn: 2\n"]
    found = []
    for text in (*texts, *texts):
        node = OmegaConf.to_container(OmegaConf.create(text))
        ConfigStore.instance().store(name="stored.yaml", node=node, provider="recipe")
        found.append(compose(name="stored"))
    assert found[:2] == found[2:]
    assert [one["n"] for one in found[:2]] == [1, 2]
    assert len(hydra_memory._MADE) == 2


def test_a_file_in_an_earlier_place_hides_a_later_one(folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "colour").mkdir(parents=True)
    compose = Composing(first, folder)
    assert compose()["colour"]["name"] == "red"
    (first / "colour/red.yaml").write_text("name: first\n")
    assert compose()["colour"] == {"name": "first"}


def test_what_a_step_changes_is_not_kept(folder: Path) -> None:
    seen = []

    def step(name: str, body: dict[str, Any]) -> bool:
        seen.append(name)
        body["name"] = "changed"
        return name == "colour/red"

    compose = Composing(folder, step=step)
    for _ in range(2):
        assert compose()["colour"]["name"] == "changed"
        assert "colour/red" in seen
        seen.clear()


def test_an_error_is_raised_again(folder: Path) -> None:
    compose = Composing(folder)
    for _ in range(2):
        with pytest.raises(Exception, match="Could not find 'colour/green'"):
            compose("colour=green")
    assert not hydra_memory._MADE


def test_the_kept_are_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydra_memory, "_KEPT", 1)
    compose = Composing(folder)
    compose()
    compose("colour=blue")
    assert [key[-3] for key in hydra_memory._MADE] == ["colour=blue"]


def test_what_is_in_a_place_that_tells_nothing_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = Composing(folder)
    source = type(compose.loader.repository.sources[1])  # Hydra imports its plugins itself
    monkeypatch.setattr(source, "full_path", lambda self: "elsewhere://here")
    for name in ("red", "dark red"):
        (folder / "colour/red.yaml").write_text(f"name: {name}\n")
        assert compose()["colour"] == {"name": name}
