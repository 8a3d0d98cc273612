"""``quant.kv_cache=auto``: what it chooses among, by which rule, and that a bundle tells it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_export import api
from llm_export.checks.kv_cache import cache_dtype_fits
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError
from llm_export.models.components.attention_cores import CoreShape
from llm_export.models.config import AttentionConfig
from llm_export.resolve.cache_choice import CacheTimes
from llm_export.resolve.recipe import ResolvedRecipe, resolve, with_cache, with_measured_cache
from llm_export.runner.cache_dtype import settle
from llm_export.runner.cache_dtype.probe import Probe, probe_of
from llm_export.runner.stages import STAGES
from llm_export.stage_cache.file_digests import Digests
from llm_export.stage_cache.keys import KeyInputs, stage_keys
from llm_export.stage_cache.source_digest import Sources
from llm_export.sweep.finished import is_finished

AUTO = "quant.kv_cache=auto"
FLOAT, BFLOAT16, INT8 = CacheDtype.float, CacheDtype.bfloat16, CacheDtype.int8


def recipe_of(*words: str) -> Recipe:
    return api.compose_recipe(None, ["model=tiny", "backend=xnnpack", AUTO, *words]).recipe


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ((), "float, bfloat16 or int8; a run takes the one whose attention is fastest"),
        (("runtime.attention=custom_op",), "float or int8; a run takes"),
        (("deploy.targets=[android]",), "float; it is for android, whose speed cannot be measured"),
        (("quant=fp16",), "float, the only one that model, backend and recipe allow"),
        (("runtime.kv_cache=attention_sink",), "float, the only one"),
        (("backend=portable",), "float or int8; a run takes"),
        (("model=flan_t5_small",), "float, the only one"),
    ],
)
def test_what_it_chooses_among_is_said_before_a_run(words: tuple[str, ...], note: str) -> None:
    recipe = recipe_of(*words)
    resolved = resolve(recipe)
    assert [n for n in resolved.notes if n.startswith(f"quant.kv_cache: {note}")]
    assert resolved.cache_dtype is FLOAT
    assert resolved.stated.quant.kv_cache is CacheDtype.auto
    assert not any("kv_cache" in str(problem) for problem in find_problems(recipe, build=False))
    assert resolved.cache_choice
    for dtype in resolved.cache_choice.kinds:
        assert cache_dtype_fits(resolve(with_cache(recipe, dtype))) == [], dtype


@pytest.mark.parametrize(
    ("floats", "bfloats", "ints", "chosen"),
    [
        ((3, 3, 3, 3), (2, 2, 2, 2), (9, 9), BFLOAT16),
        ((2, 2, 2, 2), (3, 3, 3, 3), (9, 9), FLOAT),
        ((2, 2, 2, 2), (3, 3, 3, 2), (9, 9), BFLOAT16),  # as fast in a quarter of the rounds
        ((2, 2, 2, 2), (3, 3, 3, 3), (2, 9), INT8),
        ((2, 2, 2, 2), (2, 2, 2, 2), (2, 2, 2, 2), INT8),
    ],
)
def test_the_smallest_of_the_fastest(
    floats: tuple[float, ...],
    bfloats: tuple[float, ...],
    ints: tuple[float, ...],
    chosen: CacheDtype,
) -> None:
    assert CacheTimes({FLOAT: floats, BFLOAT16: bfloats, INT8: ints}, 64).chosen is chosen


def test_a_measured_recipe_states_the_dtype() -> None:
    open_ = resolve(recipe_of())
    times = CacheTimes({FLOAT: (0.304,), BFLOAT16: (0.2125,)}, 1024)
    resolved = with_measured_cache(open_, times)
    assert resolved.attention == "custom_op_bfloat16"
    assert resolved.recipe.quant.kv_cache is resolved.stated.quant.kv_cache is BFLOAT16
    assert [n for n in resolved.notes if "kv_cache" in n] == [
        "quant.kv_cache: bfloat16, 0.212 ms of attention a layer and token at 1,024 tokens "
        "(float 0.304)"
    ]
    assert settle.with_cache_dtype(resolved, print) is resolved, "measured once"


def test_what_cannot_be_measured_stays_float(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> dict[str, Any]:
        raise LlmExportError("its process has ended")

    monkeypatch.setattr(settle, "_measured", fails)
    resolved = settle.with_cache_dtype(resolve(recipe_of()), print, keep=False)
    assert resolved.cache_dtype is FLOAT
    note = "quant.kv_cache: float; the measurement failed: its process has ended"
    assert [n for n in resolved.notes if "kv_cache" in n] == [note]


def test_this_machine_measures_the_same_programs_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def measured(probe: Probe, kinds: dict[str, str]) -> dict[str, Any]:
        asked.append(probe.position)
        return {"float": [0.3, 0.3], "bfloat16": [0.2, 0.2], "int8": [2.0]}

    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path))
    monkeypatch.setattr(settle, "_measured", measured)
    said: list[str] = []

    def settled(*words: str, keep: bool = True) -> ResolvedRecipe:
        return settle.with_cache_dtype(resolve(recipe_of(*words)), said.append, keep=keep)

    first, again = settled(), settled("quant=8da8w")
    assert said == ["quant.kv_cache: timing attention in float, bfloat16, int8 on this machine"]
    assert len(asked) == 1, "weights are no part of attention"
    assert first.cache_times == again.cache_times
    assert again.cache_dtype is BFLOAT16
    settled("runtime.context_length=64")
    settled("runtime.attention=custom_op")
    settled(keep=False)
    assert len(asked) == 4
    monkeypatch.setattr(settle, "this_machine", lambda: ["another"])
    settled()
    assert len(asked) == 5


def test_the_times_that_a_manifest_tells_are_in_the_key_of_its_stage() -> None:
    open_ = resolve(recipe_of())
    around = KeyInputs(None, Digests(None))
    float_ms = [CacheTimes({FLOAT: (ms,), BFLOAT16: (9.0,)}, 64) for ms in (0.3, 0.4)]
    resolved = [open_, *(with_measured_cache(open_, times) for times in float_ms)]
    packages = [stage_keys(STAGES, one, around, Sources())[0]["package"] for one in resolved]
    assert len(set(packages)) == 3


def test_the_most_frequent_layer_without_a_window_is_measured() -> None:
    heads = AttentionConfig(num_heads=32, num_kv_heads=8, head_dim=128, scale=1.0)
    whole, local = CoreShape.of(heads), CoreShape.of(replace(heads, window=512))
    probe = probe_of([local, local, whole], 131_072)
    assert probe.shape == whole
    assert (probe.slots, probe.layers) == (8192, 1)
    assert probe_of([local] * 4, 512).layers == 4
    assert probe_of([local], 512).position == 256


def test_the_decoder_of_a_model_that_reads_images_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Probe] = []

    def measured(probe: Probe, kinds: dict[str, str]) -> dict[str, Any]:
        asked.append(probe)
        return {"float": [0.3], "bfloat16": [0.2], "int8": [2.0]}

    monkeypatch.setattr(settle, "_measured", measured)
    few = [f"model.config.{part}_config.num_hidden_layers=1" for part in ("text", "vision")]
    resolved = resolve(recipe_of("model=smolvlm2_256m", *few))
    assert settle.with_cache_dtype(resolved, print, keep=False).cache_dtype is BFLOAT16
    assert (asked[0].shape.num_heads, asked[0].shape.num_kv_heads) == (9, 3)


@pytest.mark.slow
def test_a_bundle_tells_what_was_chosen(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    words = ["model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack", AUTO,
             "verify=off", "benchmark=off", "verify.arm=skip", "deploy.questions=[]"]  # fmt: skip
    api.run(None, words, out=out, quiet=True)
    entry = json.loads((out / "manifest.json").read_text())["program"]["cache"]
    record = json.loads((out / "run.json").read_text())
    chosen = record["recipe"]["quant"]["kv_cache"]
    assert entry["dtype"] == {"float": "float32"}.get(chosen, chosen)
    assert set(entry["measured"]) == {"float", "bfloat16", "int8"}
    assert any(f"quant.kv_cache: {chosen}, " in note for note in record["notes"])
    assert yaml.safe_load((out / "recipe.yaml").read_text())["quant"]["kv_cache"] == chosen
    assert is_finished(out, api.compose_recipe(None, words).recipe)
