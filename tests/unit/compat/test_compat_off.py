"""With another ExecuTorch than the tested one, a model goes ExecuTorch's own, documented way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_tools import exported_of

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.compat import versions
from llm_export.pipeline.artifacts import Exported
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve

WORDS = [
    "model=tiny",
    "backend=xnnpack",
    "benchmark=off",
    "runtime.context_length=64",
    "runtime.prefill_length=32",
    "verify.positions=64",
    "verify.window=64",
]
ONE = "model.config.num_hidden_layers=1"
REPEATED = "model.config.num_hidden_layers=4"
LINE = "executorch 1.6.0 is installed; tested is ==1.5.1"
PRIVATE = (
    "llm_export.backends.decompositions.run_decompositions_by",
    "llm_export.backends.xnnpack_passes.xnnpack_passes_by",
    "llm_export.backends.xnnpack_passes.export_pass_calls_by",
    "llm_export.backends.xnnpack_prefill.ready_for_planning",
    "llm_export.layer_reuse.to_executorch.edge_programs",
    "llm_export.layer_reuse.to_executorch.functional_program",
    "llm_export.layer_reuse.delegates.lowered_module",
    "llm_export.layer_reuse.tensor_specs.spec_copy",
    "llm_export.stages.lowering.dedup_constants.read_header",
    "llm_export.stages.lower.forget_traces",
    "llm_export.stages.lower.light_graphs",
)
"""What has another shape in the other ExecuTorch."""


def missing(*args: Any, **kwargs: Any) -> Any:
    raise AttributeError("this ExecuTorch has no such thing")


@pytest.fixture
def other_executorch(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = versions.installed
    monkeypatch.setattr(versions, "installed", lambda p: "1.6.0" if p == "executorch" else plain(p))
    for place in PRIVATE:
        monkeypatch.setattr(place, missing)


def exported(out: Path, *words: str) -> Exported:
    recipe = api.compose_recipe(None, [*WORDS, *words]).recipe
    with torch.no_grad():
        return exported_of(recipe, RunContext(out, Reporter(1, quiet=True), StageRecord("test")))


def executorch_alone(exported: Exported) -> bytes:
    """What ExecuTorch's public interface makes of the same graphs."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass

    edge = to_edge_transform_and_lower(
        dict(exported.programs),
        partitioner=[XnnpackPartitioner()],
        compile_config=BACKENDS.get("xnnpack").edge_config(),
        constant_methods=exported.constants,
    )
    config = ExecutorchBackendConfig(
        extract_delegate_segments=True,
        do_quant_fusion_and_const_prop=True,
        memory_planning_pass=MemoryPlanningPass(
            alloc_graph_input=False, share_mutable_buffers=len(exported.programs) > 1
        ),
        sym_shape_eval_pass=ConstraintBasedSymShapeEvalPass(),
    )
    return bytes(edge.to_executorch(config).buffer)


@pytest.mark.slow
def test_layers_are_exported_whole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert exported(tmp_path, REPEATED).plan is not None, "layers are reused with the tested one"
    request.getfixturevalue("other_executorch")
    whole = exported(tmp_path, REPEATED)
    assert (whole.plan, whole.whole_because) == (None, LINE)


@pytest.mark.usefixtures("other_executorch")
def test_nothing_is_patched() -> None:
    """Each of the patches would raise here."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    resolved = resolve(api.compose_recipe(None, WORDS).recipe)
    backend = BACKENDS.get("xnnpack")
    with backend.lowering_context(resolved):
        pass
    (partitioner,) = backend.partitioners(resolved)
    assert type(partitioner) is XnnpackPartitioner
    module = torch.fx.symbolic_trace(torch.nn.Identity())
    assert backend.before_memory_planning(resolved, module, None) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("other_executorch")
def test_the_program_is_executorchs_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    composed = api.compose_recipe(None, [*WORDS, ONE, f"out={tmp_path / 'bundle'}"])
    bundle = api.run_recipe(composed).bundle
    record = json.loads((bundle / "run.json").read_text(encoding="utf-8"))
    (noted,) = (stage["facts"] for stage in record["stages"] if stage["name"] == "lower")
    assert noted["layers"] == {"lowered": 1, "of": 1, "path": "whole", "why": LINE}
    assert noted["untested"] == LINE
    assert (noted["branches"], noted["shared_bytes"]) == (0, 0)
    remark = f"layer reuse and faster lowering are off: {LINE}"
    assert remark in noted["summary"]
    assert remark in " ".join("".join(capfd.readouterr()).split()), "on the console too"
    # The run has compared the program's logits with the model's; these are its bytes.
    assert (bundle / "model.pte").read_bytes() == executorch_alone(exported(tmp_path, ONE))
