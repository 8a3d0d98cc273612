"""What a run is expected to cost, and whether there is room for it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from stage_tools import transformed_of

from llm_export import api
from llm_export.amounts import amount
from llm_export.errors import MissingDependencyError
from llm_export.free_memory import available_memory
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import PredictedCost, RunRecord, StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.predict.available_resources import free_disk, require_room
from llm_export.predict.cost import Prediction, predict
from llm_export.predict.size import sizes_of
from llm_export.resolve.recipe import resolve
from llm_export.runner.cost_estimate import compare


@pytest.mark.parametrize("quant", ["none", "8da4w", "8da8w", "fp16", "8da4w_asym"])
@pytest.mark.parametrize("layers", [2, 5])
def test_constants_are_those_of_the_model(quant: str, layers: int, tmp_path: Path) -> None:
    words = ["model=tiny", "backend=xnnpack", f"quant={quant}", "runtime.context_length=64",
             f"model.config.num_hidden_layers={layers}"]  # fmt: skip
    recipe = api.compose_recipe(None, words).recipe
    sizes = sizes_of(resolve(recipe))
    assert sizes is not None
    context = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        made = transformed_of(recipe, context)
    assert sizes.parameters == made.source.parameters
    # Forms of delegates add tables that matter beside so few weights only.
    assert sizes.constants == pytest.approx(made.predicted_bytes, rel=0.15)
    assert sizes.layers == layers


def test_published_models_have_their_known_sizes() -> None:
    recipe = api.compose_recipe(None, ["model=smollm2_135m", "backend=xnnpack"]).recipe
    sizes = sizes_of(resolve(recipe))
    assert sizes is not None
    assert sizes.parameters == 134_515_008
    assert sizes.largest == 49152 * 576


def test_the_generic_tier_is_not_foreseen() -> None:
    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    recipe.model.definition = "hf"
    assert predict(resolve(recipe)) is None


def test_more_work_is_expected_to_cost_more() -> None:
    def cost(*words: str) -> Prediction:
        words = ("checkpoint.random_seed=0", "backend=xnnpack", "quant=8da4w", *words)
        found = predict(resolve(api.compose_recipe(None, words).recipe))
        assert found is not None
        return found

    small, large = cost("model=smollm2_135m"), cost("model=llama3_2_1b")
    assert large.seconds > small.seconds
    assert large.memory > small.memory
    assert large.disk > small.disk
    off = cost("model=smollm2_135m", "verify=off", "benchmark=off")
    assert off.seconds < small.seconds
    plain = ("model=smollm2_135m", "verify=off", "benchmark=off", "quant.rounding.method=minmax")
    assert cost(*plain, "backend.repeat_layers=false").seconds > 2 * cost(*plain).seconds
    assert off.seconds > cost(*plain).seconds + 10, "calibration takes time"
    assert cost(*plain, "quant.smooth={alpha: 0.5}").seconds > cost(*plain).seconds
    eight = (*plain, "backend=xnnpack", "quant=8da8w")
    refined = cost(*eight, "quant.smooth={steps: 40}").seconds
    assert refined > cost(*eight, "quant.smooth={steps: 0}").seconds + 10


EXPECTED = Prediction(seconds=100.0, memory=4_000_000_000, disk=2_000_000_000, program=10**9)


def test_too_little_memory_is_said_before_work(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require_room(EXPECTED, memory=10**9, disk=10**12, folder=tmp_path)
    assert "needs about 4.0 GB of memory; 1.0 GB are free" in str(caught.value)
    assert "--no-limits" in (caught.value.fix or "")
    assert caught.value.exit_code == 3
    require_room(EXPECTED, memory=4 * 10**9, disk=10**12, folder=tmp_path)


def test_too_little_disk_is_said_before_work(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require_room(EXPECTED, memory=10**11, disk=10**9, folder=tmp_path)
    assert "needs about 2.0 GB of disk; 1.0 GB are free" in str(caught.value)
    assert caught.value.where == str(tmp_path)


def test_it_is_said_what_a_large_models_disk_is_for(tmp_path: Path) -> None:
    large = replace(EXPECTED, disk=104 * 10**9, program=4 * 10**9)
    with pytest.raises(MissingDependencyError) as caught:
        require_room(large, memory=10**11, disk=10**9, folder=tmp_path)
    said = "about 104.0 GB of disk, 96.0 GB of it for weights that are fetched, or that a large"
    assert said in str(caught.value)


def test_a_container_may_leave_less_than_the_machine(tmp_path: Path) -> None:
    everything = available_memory(tmp_path / "none")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_memory(tmp_path) == pytest.approx(everything, rel=0.2)
    (tmp_path / "memory.max").write_text("51000\n")
    assert available_memory(tmp_path) == 50000
    assert free_disk(tmp_path / "not" / "there" / "yet") > 0


def test_a_run_that_cannot_fit_is_refused_and_leaves_nothing(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    # Seventy billion parameters in few layers, which are quickly counted.
    words = ["model=llama3_2_1b", "checkpoint.random_seed=0", "checkpoint.hf_id=null",
             "backend=xnnpack", "quant=8da4w", "model.config.num_hidden_layers=12",
             "model.config.intermediate_size=1000000"]  # fmt: skip
    done = cli("run", *words, f"out={tmp_path}/out", "verify=off", "benchmark=off")
    assert done.returncode == 3, done.stderr
    assert "the run needs about" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_prediction_and_outcome_stand_beside_each_other(tmp_path: Path) -> None:
    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    record = RunRecord(tmp_path / "run.json", recipe, {}, [])
    record.prediction = PredictedCost(**asdict(EXPECTED))
    record.stages = [
        StageRecord("quantize", "done", cpu_seconds=500.0, peak_bytes=9 * 10**9, reused=True),
        StageRecord(
            "lower", "done", cpu_seconds=50.0, peak_bytes=2 * 10**9, facts={"bytes": 10**9}
        ),
    ]
    compare(record)
    record.write()
    said = json.loads((tmp_path / "run.json").read_text())["prediction"]
    assert said["outcome"] == {"seconds": 50.0, "memory": 2 * 10**9, "program": 10**9}
    assert said["ratios"] == {"seconds": 0.5, "memory": 0.5, "program": 1.0}


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (950, "0.9 kB"),
        (3_940_000, "3.9 MB"),
        (138_500_000, "138 MB"),
        (999_400_000, "999 MB"),
        (999_500_000, "1.0 GB"),
        (1_740_000_000, "1.7 GB"),
    ],
)
def test_bytes_have_two_digits_or_more(count: int, said: str) -> None:
    assert amount(count) == said
