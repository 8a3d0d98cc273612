"""Old keys and values of recipes are read, each with a warning that names the new one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_export import api
from llm_export.bundle.lock import Provenance, lock_yaml
from llm_export.cli.main import main
from llm_export.config.json_schema import recipe_schema
from llm_export.config.messages import known_key
from llm_export.config.recipe_files import made_from, recipe_yaml
from llm_export.config.reference import every_key
from llm_export.config.renamed import KEYS, VALUES, current_key, current_override, rename_in
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError
from llm_export.versions import machine

TIED = "quant.tied=apart is now quant.tied=untied"
CACHE = "runtime.kv_cache=endless is now runtime.kv_cache=attention_sink"
ADAPTER = "checkpoint.adapter_mode=apart is now checkpoint.adapter_mode=separate"
FALLBACKS = "backend.then is now backend.fallbacks"
SMALL = ["model=tiny", "backend=xnnpack"]


def test_the_table_leads_to_what_the_schema_has() -> None:
    types = {key: kind.split(" | ") for key, kind, _ in every_key()}
    for old, new in KEYS.items():
        assert not known_key(old)
        assert known_key(new)
    for key, values in VALUES.items():
        for old, new in values.items():
            assert old not in types[key]
            assert new in types[key]


@pytest.mark.parametrize(
    ("override", "now", "warning"),
    [
        ("quant.tied=apart", "quant.tied=untied", TIED),
        ("++quant.tied='apart'", "++quant.tied='untied'", TIED),
        ("quant.tied=auto,apart", "quant.tied=auto,untied", TIED),
        ("quant={tied: apart, bits: 4}", "quant={tied: untied, bits: 4}", TIED),
        ("backend.then=[portable]", "backend.fallbacks=[portable]", FALLBACKS),
        ("backend={then: [portable]}", "backend={fallbacks: [portable]}", FALLBACKS),
        ("runtime.kv_cache=endless", "runtime.kv_cache=attention_sink", CACHE),
        ("checkpoint.adapter_mode=apart", "checkpoint.adapter_mode=separate", ADAPTER),
        ("quant.tied=share", "quant.tied=share", None),
        ("quant.kv_cache=endless", "quant.kv_cache=endless", None),
        ("checkpoint.path=/data/apart", "checkpoint.path=/data/apart", None),
        ("backend=coreml+xnnpack", "backend=coreml+xnnpack", None),
    ],
)
def test_overrides(override: str, now: str, warning: str | None) -> None:
    assert current_override(override) == (now, [] if warning is None else [warning])


def test_bodies() -> None:
    body: dict[str, Any] = {
        "checkpoint": {"adapter_mode": "apart"}, "quant": {"tied": "apart"},
        "runtime": {"kv_cache": "endless"}, "backend": {"then": ["portable"]},
    }  # fmt: skip
    assert sorted(rename_in(body)) == sorted([TIED, CACHE, ADAPTER, FALLBACKS])
    assert body == {
        "checkpoint": {"adapter_mode": "separate"}, "quant": {"tied": "untied"},
        "runtime": {"kv_cache": "attention_sink"}, "backend": {"fallbacks": ["portable"]},
    }  # fmt: skip
    assert rename_in(body) == []
    assert rename_in({"quant": None, "backend": "xnnpack", "runtime": {"kv_cache": 3}}) == []


def test_overrides_compose_with_warnings() -> None:
    composed = api.compose_recipe(
        None, [*SMALL, "quant.tied=apart", "runtime.kv_cache=endless", "backend.then=[portable]"]
    )
    assert composed.warnings == [TIED, CACHE, FALLBACKS]
    recipe = composed.recipe
    assert (recipe.quant.tied.value, recipe.runtime.kv_cache.value) == ("untied", "attention_sink")
    assert recipe.backend.fallbacks == ["portable"]
    assert "backend.fallbacks=[portable]" in composed.overrides
    assert api.compose_recipe(None, SMALL).warnings == []


def _aged(recipe: Recipe) -> dict[str, Any]:
    """The body of recipe.yaml, as version 0.1 wrote it."""
    body: dict[str, Any] = yaml.safe_load(recipe_yaml(recipe))
    body["checkpoint"]["adapter_mode"] = "apart"
    body["quant"]["tied"] = "apart"
    body["backend"]["then"] = body["backend"].pop("fallbacks")
    return body


def test_recipe_files_and_locks(tmp_path: Path) -> None:
    recipe = api.compose_recipe(
        None,
        [
            *SMALL,
            "quant.tied=untied",
            f"checkpoint.adapter={tmp_path}",
            "checkpoint.adapter_mode=separate",
        ],
    ).recipe
    old = _aged(recipe)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(old))
    provenance = Provenance({}, [], {}, machine())
    lock = yaml.safe_load(lock_yaml(recipe, provenance, {}, {}))
    assert made_from(lock, recipe)
    lock["recipe"] = {k: v for k, v in old.items() if k != "defaults"}
    assert made_from(lock, recipe)
    (tmp_path / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        composed = api.compose_recipe(str(tmp_path / name))
        assert sorted(composed.warnings) == sorted([ADAPTER, TIED, FALLBACKS]), name
        assert composed.recipe == recipe


def _third_party(folder: Path) -> Path:
    (folder / "quant").mkdir()
    (folder / "model").mkdir()
    (folder / "quant" / "theirs.yaml").write_text("name: theirs\ntied: apart\n")
    (folder / "quant" / "other.yaml").write_text("name: other\ntied: apart\n")
    (folder / "model" / "their_tiny.yaml").write_text(
        "# @package _global_\ndefaults:\n  - tiny\n"
        "checkpoint:\n  adapter: LORA\n  adapter_mode: apart\n"
    )
    (folder / "their_recipe.yaml").write_text(
        "defaults:\n  - export_base\n  - override model: tiny\n  - override backend: xnnpack\n"
        "  - _self_\nruntime:\n  kv_cache: endless\n"
    )
    return folder


def test_options_of_third_parties(tmp_path: Path) -> None:
    folder = str(_third_party(tmp_path))
    composed = api.compose_recipe(
        None, ["model=their_tiny", "backend=xnnpack", "quant=theirs"], folder
    )
    # Of the two options that say it, one is chosen.
    assert sorted(composed.warnings) == sorted([TIED, ADAPTER])
    assert composed.recipe.quant.tied.value == "untied"
    assert composed.recipe.checkpoint.adapter_mode.value == "separate"
    assert api.compose_recipe("their_recipe", [], folder).warnings == [CACHE]


def test_a_recipe_on_top_of_an_old_one(tmp_path: Path) -> None:
    folder = _third_party(tmp_path)
    (folder / "mine.yaml").write_text("defaults:\n  - their_recipe\n  - _self_\n")
    composed = api.compose_recipe(str(folder / "mine.yaml"), [], str(folder))
    assert composed.warnings == [CACHE]
    assert composed.recipe.runtime.kv_cache.value == "attention_sink"


def test_the_command_line_warns_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("defaults: [export_base, _self_]\nquant:\n  tied: apart\n")
    assert main(["show", str(file), *SMALL, "quant.tied=apart", "quant.tied=apart"]) == 0
    said = capsys.readouterr()
    assert said.err == f"warning: {TIED}\n"
    assert "tied: untied" in said.out


def test_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    from llm_export.config.compose import Composer

    found = Composer().variants([*SMALL, "quant.tied=share,apart"])
    assert [v.swept["quant.tied"] for v in found] == ["share", "untied"]
    assert all(v.composed is not None and v.composed.warnings == [TIED] for v in found)


def test_explain_answers_with_the_new_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "backend.then", "--json"]) == 0
    said = capsys.readouterr()
    assert [facts["key"] for facts in json.loads(said.out)] == ["backend.fallbacks"]
    assert said.err == f"warning: {FALLBACKS}\n"
    assert current_key("backend.then.0") == "backend.fallbacks.0"


def test_only_new_words_are_offered() -> None:
    with pytest.raises(RecipeError) as caught:
        api.compose_recipe(None, [*SMALL, "quant.tied=aprt"])
    assert "untied" in str(caught.value)
    assert "apart" not in str(caught.value)
    schema = json.dumps(recipe_schema({}))
    assert "attention_sink" in schema
    assert not any(f'"{word}"' in schema for word in ("apart", "endless", "then"))
