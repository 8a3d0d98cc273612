"""model=auto: what a checkpoint says, which tier serves it, and why."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_families
import hf_models
import numpy as np
import pytest
import yaml
from gguf import GGUFWriter

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError, InputError, LlmExportError, RecipeError
from llm_export.resolve.recipe import resolve
from runtime_py.bundle import Bundle

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SIZES = ["runtime.context_length=256", "runtime.prefill_length=32", "benchmark=off"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save(hf_models.llama(), tmp_path_factory.mktemp("m") / "Tiny-Llama")


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = hf_families.build("opt", num_hidden_layers=1)
    return hf_models.save(model, tmp_path_factory.mktemp("m") / "Tiny-OPT")


def edited(folder: Path, copy: Path, **changes: Any) -> Path:
    """A folder with another config.json and the same weights."""
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


def resolved(folder: Path, *overrides: str) -> Recipe:
    words = ["model=auto", f"checkpoint.path={folder}", *SIZES, *overrides]
    return api.compose_recipe(None, words).recipe


def test_the_fast_tier_where_a_family_understands_the_config(llama: Path) -> None:
    recipe = resolved(llama)
    assert (recipe.model.definition, recipe.model.family) == ("composable", "llama")
    assert recipe.model.config["hidden_size"] == 64
    assert "architectures" not in recipe.model.config
    assert recipe.name == "tiny_llama_portable_none"
    assert resolve(recipe).tier == "fast (family llama)"
    assert api.check_recipe(recipe) == []


def test_the_generic_tier_where_there_is_no_family(opt: Path) -> None:
    recipe = resolved(opt, "backend=xnnpack")
    assert (recipe.model.definition, recipe.model.family) == ("hf", "opt")
    assert recipe.model.config == json.loads((opt / "config.json").read_text())
    assert recipe.name == "tiny_opt_xnnpack_none"
    assert resolve(recipe).tier == "generic (transformers): no fast tier for 'opt'"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hidden_act": "mish"}, "family 'llama' does not implement hidden_act='mish'"),
    ],
)
def test_the_reason_is_kept(change: dict[str, Any], why: str, llama: Path, tmp_path: Path) -> None:
    folder = edited(llama, tmp_path / "m", **change)
    recipe = resolved(folder)
    assert (recipe.model.definition, recipe.model.reason) == ("hf", why)
    with pytest.raises(LlmExportError) as caught:
        resolved(folder, "model.definition=composable")
    assert caught.value.what == why


def test_any_definition_can_be_asked_for(llama: Path) -> None:
    recipe = resolved(llama, "model.definition=torchtune")
    assert resolve(recipe).tier == "torchtune's builder (family llama)"


def test_a_key_that_no_tier_knows_is_named(llama: Path, tmp_path: Path) -> None:
    folder = edited(llama, tmp_path / "m", sliding_window=8)
    for definition in ("auto", "hf"):
        recipe = resolved(folder, f"model.definition={definition}")
        assert [p.what for p in find_problems(recipe)] == [
            "transformers does not know the config key(s) sliding_window of 'llama'"
        ]


def test_a_tier_can_be_forced(llama: Path, opt: Path) -> None:
    recipe = resolved(llama, "model.definition=hf")
    assert resolve(recipe).tier == "generic (transformers): asked for by model.definition=hf"
    assert recipe.model.config["model_type"] == "llama"
    with pytest.raises(CheckpointError, match="no fast tier for 'opt'"):
        resolved(opt, "model.definition=composable")
    with pytest.raises(RecipeError, match="there is no model definition 'hg'"):
        resolved(opt, "model.definition=hg")


def test_what_the_recipe_states_stays(opt: Path) -> None:
    recipe = resolved(opt, "model.name=mine", "+model.config.activation_function=gelu")
    assert recipe.model.config["activation_function"] == "gelu"
    assert recipe.name == "mine_portable_none"
    assert resolved(opt, "name=other").name == "other"


def test_a_resolved_recipe_is_resolved_once(opt: Path) -> None:
    composed = api.compose_recipe(None, ["model=auto", f"checkpoint.path={opt}", *SIZES])
    assert api.resolve(composed) == composed
    tiny = api.compose_recipe(None, ["model=tiny"])
    assert api.resolve(tiny).recipe is tiny.recipe


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the recipe names none"):
        api.compose_recipe(None, ["model=auto"])
    with pytest.raises(RecipeError, match="the recipe names none"):
        api.compose_recipe(None, ["model=auto", "checkpoint.random_seed=1"])
    with pytest.raises(InputError, match="no such checkpoint"):
        resolved(tmp_path / "nowhere")


def test_gguf_of_an_architecture_without_fast_tier(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "gptneox")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError) as caught:
        resolved(tmp_path / "m.gguf")
    assert caught.value.what == (
        "the GGUF architecture 'gptneox' is not supported, and the generic tier cannot read GGUF"
    )
    assert "Hugging Face folder" in str(caught.value.fix)
    with pytest.raises(CheckpointError, match="needs Hugging Face's tensor names; gguf has others"):
        resolved(tmp_path / "m.gguf", "model.definition=hf")


@pytest.mark.slow
def test_a_model_from_the_hub(opt: Path, cli: Cli, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--org--tiny-opt" / "snapshots" / ("3" * 40)
    snapshot.parent.mkdir(parents=True)
    edited(opt, snapshot)
    references = snapshot.parent.parent / "refs"
    references.mkdir()
    (references / "main").write_text("3" * 40)
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = cli("validate", "model=auto", "checkpoint.hf_id=org/tiny-opt", *SIZES, **env)
    assert done.returncode == 0, done.stderr
    assert "tiny_opt_portable_none: sound" in done.stdout
    assert "  tier: generic (transformers): no fast tier for 'opt'\n" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_from_a_folder_to_a_verified_bundle(opt: Path, tmp_path: Path) -> None:
    words = [
        "model=auto",
        f"checkpoint.path={opt}",
        *SIZES,
        "runtime=static",
        "verify.window=64",
        "runtime.context_length=64",
        "runtime.prefill_length=1",
        "verify.positions=30",
    ]
    out = tmp_path / "o"
    result = api.run_recipe(api.compose_recipe(None, [*words, f"out={out}"]), quiet=True)
    bundle = Bundle.open(result.bundle, verify_hashes=True)
    assert bundle.manifest["name"] == "tiny_opt_portable_none"
    assert bundle.manifest["model"]["family"] == "opt"
    proof = bundle.manifest["proof"]
    assert proof["verified"]
    assert proof["comparisons"]["quality"]["top1_agreement"] == 1.0
    # The recipe spells everything out: it needs no checkpoint to be read.
    written = yaml.safe_load((out / "recipe.yaml").read_text())
    assert written["model"]["definition"] == "hf"
    assert written["model"]["config"]["ffn_dim"] == 96
    assert written["model"]["reason"] == "no fast tier for 'opt'"
    again = api.compose_recipe(str(out / "recipe.yaml")).recipe
    assert again.model.definition == "hf"
    assert api.check_recipe(again) == []
