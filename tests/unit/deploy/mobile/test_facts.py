"""What apps for phones know of a bundle, what they refuse, and what the user may say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_export.deploy import DEPLOY_TARGETS
from llm_export.deploy.base import Settings
from llm_export.deploy.mobile.facts import facts_of
from llm_export.deploy.mobile.said import default_identifier
from llm_export.deploy.refuse import refuse
from llm_export.errors import BundleError, RecipeError
from runtime_py.bundle import Bundle

TARGETS = ("android", "ios")


@pytest.fixture(scope="module")
def bundle(quantized_bundle: Path) -> Bundle:
    return Bundle.open(quantized_bundle)


def changed(bundle: Bundle, key: str, **values: Any) -> Bundle:
    """With other values of a part of the manifest; None removes one."""
    part = {**bundle.manifest.get(key, {}), **values}
    part = {name: value for name, value in part.items() if value is not None}
    return Bundle(bundle.path, {**bundle.manifest, key: part})


def test_facts_are_the_manifests(bundle: Bundle) -> None:
    facts, manifest = facts_of(bundle), bundle.manifest
    assert facts.turns == manifest["chat"]["turns"]
    assert facts.example == manifest["chat"]["example"]
    assert facts.turn_tokens == ("<|end|>",)
    # Words begin a turn only on a line of their own.
    assert facts.stop_strings == ("<|end|>", "\nuser:")
    assert [f.name for f in facts.files] == ["model.pte", "tokenizer.json"]
    assert facts.bytes == sum(manifest["files"][f.name]["bytes"] for f in facts.files)
    assert facts.context_length == manifest["program"]["context_length"]
    assert 0 < facts.tokens_per_byte <= 1.25
    assert facts.bos == ""


def test_turn_tokens_of_older_bundles_come_from_the_tokenizer(
    bundle: Bundle, tmp_path: Path
) -> None:
    older = changed(bundle, "tokenizer", stop_strings=None)
    assert facts_of(older).turn_tokens == ("<|end|>",)
    shutil.copytree(bundle.path, tmp_path / "b")
    body = json.loads((bundle.path / "tokenizer.json").read_text())
    body["added_tokens"] = [{"id": "x"}]
    (tmp_path / "b" / "tokenizer.json").write_text(json.dumps(body))
    with pytest.raises(BundleError, match="the tokenizer cannot be read"):
        facts_of(Bundle(tmp_path / "b", older.manifest))


def test_a_base_model_continues_a_text_after_its_bos(bundle: Bundle) -> None:
    roles = {k: v for k, v in bundle.manifest["roles"].items() if k != "chat_template"}
    manifest = {k: v for k, v in bundle.manifest.items() if k != "chat"}
    base = changed(Bundle(bundle.path, {**manifest, "roles": roles}), "tokenizer", add_bos=True)
    facts = facts_of(base)
    assert facts.turns is None
    assert facts.bos == "<|begin|>"
    assert facts.example["text"] == "<|begin|>Hello"
    for name in TARGETS:
        refuse(base, name, DEPLOY_TARGETS.get(name), Settings("App"))
        with pytest.raises(RecipeError, match="no turn for a system prompt"):
            DEPLOY_TARGETS.get(name).make([base], Settings("App", {"system": "Be kind."}))


@pytest.mark.parametrize("name", TARGETS)
def test_a_strangers_manifest_is_no_code(bundle: Bundle, name: str) -> None:
    turns = bundle.manifest["chat"]["turns"]
    evil = {"X to exec(), Role.USER": {"prefix": "", "suffix": ""}}
    example = {"messages": [{"role": "user"}, *({"role": r, "content": "a"} for r in evil)],
               "text": "a"}  # fmt: skip
    hostile = changed(
        bundle, "chat", turns={**turns, "roles": {**turns["roles"], **evil}}, example=example
    )
    hostile = changed(hostile, "sampling", temperature=float("nan"))
    hostile = changed(hostile, "requires", executorch="1.5`\n# [x](y)")
    project = DEPLOY_TARGETS.get(name).make([hostile], Settings("App"))
    assert facts_of(hostile).temperature == 0.0
    assert facts_of(hostile).example["text"] == "user: Hello\nassistant: "
    for path, content in project.files.items():
        assert b"exec()" not in (content if isinstance(content, bytes) else content.encode()), path
    assert "1.5___ _x__y_" in str(project.files["README.md"])
    one_sided = {"assistant": turns["roles"]["assistant"]}
    with pytest.raises(BundleError, match="does more than put texts"):
        refuse(
            changed(bundle, "chat", turns={**turns, "roles": one_sided}), name,
            DEPLOY_TARGETS.get(name), Settings("App"),
        )  # fmt: skip


def test_settings_that_the_runner_lacks_are_told(bundle: Bundle) -> None:
    warm = changed(bundle, "sampling", temperature=1.5, top_k=40, top_p=0.9)
    assert facts_of(warm).temperature == 1.0
    assert facts_of(warm).ignored == ("top_k=40", "top_p=0.9", "temperature=1.5 above 1")
    assert facts_of(changed(bundle, "sampling", top_k=40, typical_p=0.5)).ignored == ()
    steady = changed(bundle, "sampling", frequency_penalty=1.0)
    assert facts_of(steady).ignored == ("frequency_penalty=1.0",)
    notes = DEPLOY_TARGETS.get("android").make([warm], Settings("App")).notes
    assert any("without top_k=40, top_p=0.9" in note for note in notes)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("program", {"kv_cache": False}, "keeps no keys and values itself"),
        ("program", {"cache_io": {}}, "keeps no keys and values itself"),
        ("program", {"token_dtype": "int32"}, "tokens of 32 bits"),
        ("program", {"steps": {"prefill": 8, "decode": 1}}, "methods prefill, decode"),
        ("program", {"dynamic_shapes": False, "steps": {"forward": 8}}, "a fixed number of tokens"),
        ("adapters", {"formal": "adapters/formal.ptd"}, "adapters are in files of their own"),
        ("chat", {"turns": None}, "does more than put texts around messages"),
        ("requires", {"backends": ["QnnBackend"]}, "no QnnBackend"),
        ("requires", {"operators": ["mlx::x.out"]}, "no mlx::x.out"),
    ],
)
def test_refused(bundle: Bundle, name: str, key: str, values: Mapping[str, Any], said: str) -> None:
    refuse(bundle, name, DEPLOY_TARGETS.get(name), Settings("App"))
    with pytest.raises(BundleError, match=said) as error:
        refuse(changed(bundle, key, **values), name, DEPLOY_TARGETS.get(name), Settings("App"))
    assert error.value.fix


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://example.com/m"},
        {"url": "https://user:pass@example.com/m"},
        {"url": "https://example.com/m?key=1"},
        {"url": 'https://example.com/"x'},
        {"url": "https://exa mple.com/"},
        {"url": "https://[::1"},
        {"url": "https:///m"},
        {"package": "chat", "identifier": "chat"},
        {"package": "com.in.chat", "identifier": "com..chat"},
        {"package": "com.Example;x", "identifier": "com.example;x"},
        {"package": "com." + "a" * 200, "identifier": "com." + "a" * 200},
    ],
)
def test_options_that_cannot_be(bundle: Bundle, name: str, options: dict[str, str]) -> None:
    target = DEPLOY_TARGETS.get(name)
    known = {key: value for key, value in options.items() if key in target.options}
    with pytest.raises(RecipeError) as error:
        target.make([bundle], Settings("App", known))
    assert error.value.where
    assert error.value.fix


def test_default_identifiers_are_names() -> None:
    assert default_identifier("My-App_2") == "com.example.myapp2"
    assert default_identifier("_-") == "com.example.app"
    assert default_identifier("New") == "com.example.appnew"
