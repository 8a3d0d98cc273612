"""Every backend that this machine can lower for: one word of a recipe changed, a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.predict.size import sizes_of
from llm_export.resolve.recipe import resolve
from llm_export.stages.verification.logits import program_logits
from runtime_py import LLM
from runtime_py.conditions import processor

SMALL = [
    "model=tiny", "model.config.num_hidden_layers=1", "benchmark=off", "verify.positions=20",
    "verify.window=32", "verify.prefill=12", "runtime.context_length=64", "quant.max_mean_kl=1",
    "quant.calibration.tokens=64", "quant.calibration.window=32",
]  # fmt: skip
WEIGHTS = "quant.rules=[{kind: linear, scheme: 4w, group_size: 32}, {kind: head, scheme: 4w, " \
          "group_size: 32}]"  # fmt: skip
DYNAMIC = "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32}, {kind: head, scheme: " \
          "8da4w, group_size: 32}, {kind: embedding, scheme: 4w, group_size: 32}]"  # fmt: skip
STATIC = "quant.rules=[{kind: linear, scheme: 8a8w}, {kind: head, scheme: 8a8w}]"
TIED = "quant=4w"
CASES = [
    ("openvino", TIED), ("openvino", STATIC), ("coreml", TIED), ("vulkan", DYNAMIC), ("mlx", TIED),
    ("coreai", "quant=none"),
]  # fmt: skip
"""The harder case of each backend. TOSA, whose program its reference model computes below, is what
VGF and Ethos-U are made from. WebGPU's programs are Vulkan's."""
OTHERS = (
    [
        pytest.param(backend, "quant=none", marks=pytest.mark.release)
        for backend in ("openvino", "coreml", "vulkan", "mlx", "tosa")
    ]
    + [
        pytest.param(backend, STATIC, marks=pytest.mark.release)
        for backend in ("tosa", "vgf", "ethos_u")
    ]
    + [pytest.param("webgpu", WEIGHTS, marks=pytest.mark.release)]
)
VNNI = {"avx_vnni", "avx512_vnni"}
# Of lookups and positions; no product.
LIGHT = {"aten.embedding", "aten.index", "aten.arange", "aten.add", "aten.clamp"}


def run(out: Path, *words: str) -> tuple[Path, dict[str, Any]]:
    composed = api.compose_recipe(None, [*SMALL, *words, f"out={out}"])
    result = api.run_recipe(composed, quiet=True)
    return result.bundle, {s.name: s.facts for s in result.record.stages}


@pytest.mark.parametrize(
    ("backend", "quant"),
    [*(pytest.param(*case, marks=pytest.mark.slow) for case in CASES), *OTHERS],
)
def test_a_backend_is_a_word(backend: str, quant: str, tmp_path: Path) -> None:
    state = BACKENDS.get(backend).availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    if (backend, quant) == ("openvino", STATIC) and not VNNI & {*processor()["features"]}:
        pytest.skip("without VNNI OpenVINO adds int8 products in 16 bits, which saturate")
    tied = f"model.config.tie_word_embeddings={str(quant == TIED).lower()}"
    bundle, facts = run(tmp_path / "b", f"backend={backend}", quant, tied)
    manifest = json.loads((bundle / "manifest.json").read_text())
    proof = manifest["proof"]
    runs = BACKENDS.get(backend).runnable_here()
    assert proof["verified"] == runs.ok
    assert proof["comparisons"]["lowering"]["mean_kl"] < (1e-3 if runs.ok else 1e-9)
    if not runs.ok:
        assert proof["reason"] == f"not run on its target: {runs.reason}"
    delegation = facts["lower"]["delegation"]
    assert len(delegation["backends"]) == 1
    assert delegation["subgraphs"] <= 2 * len(manifest["program"]["methods"])
    if quant != STATIC:
        assert set(delegation["outside"]) <= LIGHT
    if quant == TIED:
        assert facts["quantize"]["tied_embedding"].startswith("stored once")
    if quant in (WEIGHTS, TIED):
        plain = api.compose_recipe(None, [*SMALL, f"backend={backend}", "quant=none"]).recipe
        sizes = sizes_of(resolve(plain))
        assert sizes is not None
        assert facts["lower"]["bytes"] < 0.75 * sizes.floats


@pytest.mark.slow
def test_operators_of_cmsis_nn(tmp_path: Path) -> None:
    """A backend without a delegate, which writes its own operators into the edge program."""
    state = BACKENDS.get("cortex_m").availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    bundle, facts = run(tmp_path / "b", "backend=cortex_m", STATIC)
    own = {name for name in facts["lower"]["operators"] if name.startswith("cortex_m::")}
    assert {"cortex_m::quantized_linear.out", "cortex_m::softmax.out"} <= own
    proof = json.loads((bundle / "manifest.json").read_text())["proof"]
    assert proof["reason"] == "not run on its target: a Cortex-M is a microcontroller"
    assert proof["comparisons"]["lowering"]["mean_kl"] < 1e-3


@pytest.mark.slow
def test_tosa_is_computed_by_its_reference_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of the comparison goes through the delegate, and is right to the last bit."""
    state = BACKENDS.get("tosa").availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    from executorch.backends.arm.test.runner_utils import TosaReferenceModelDispatch

    computed, steps = TosaReferenceModelDispatch._tosa_dispatch, []

    def counted(self: Any, *inputs: Any) -> Any:
        steps.append(1)
        return computed(self, *inputs)

    monkeypatch.setattr(TosaReferenceModelDispatch, "_tosa_dispatch", counted)
    _, facts = run(tmp_path / "b", "backend=tosa", STATIC, "verify.window=16")
    assert len(steps) == facts["lower"]["edge_program"]["positions"] > 0
    assert facts["lower"]["edge_program"]["max_logit_diff"] == 0


@pytest.mark.slow
def test_two_backends_in_a_program(tmp_path: Path) -> None:
    """The first takes first; what it leaves is the next one's. Core ML leaves nothing here."""
    bundle, facts = run(tmp_path / "b", "backend=coreml+xnnpack", "quant=none")
    taken = facts["lower"]["delegation"]["subgraphs_by_backend"]
    assert taken == {"CoreMLBackend": 2}
    proof = json.loads((bundle / "manifest.json").read_text())["proof"]
    assert proof["reason"] == "not run on its target: Core ML runs on macOS and iOS only"
    assert proof["comparisons"]["lowering"]["mean_kl"] < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention", ["static_io", pytest.param("plain", marks=pytest.mark.release)]
)
def test_prompts_of_any_length_fit_a_fixed_chunk(attention: str, tmp_path: Path) -> None:
    """Padded chunks, full ones, and the end of the context, where padding would not fit."""
    bundle, _ = run(
        tmp_path / "b", "backend=portable", "quant=none", "runtime.dynamic_shapes=false",
        f"runtime.attention={attention}", "runtime.prefill_length=8", "verify.prefill=5",
    )  # fmt: skip
    program = LLM.load(bundle).program
    assert program.steps == {"forward": 1, "prefill": 8}
    ids = [(i * 37 + 11) % 300 for i in range(64)]
    expected = program_logits(program, ids, 1)
    for length in (1, 3, 8, 11, 16, 61, 63, 64):
        program.reset()
        torch.testing.assert_close(
            program.prefill(ids[:length]), expected[length - 1], rtol=1e-4, atol=1e-4
        )
    program.reset()
    for start, end in ((0, 5), (5, 12), (12, 20), (20, 59), (59, 64)):
        last = program.prefill(ids[start:end])
        torch.testing.assert_close(last, expected[end - 1], rtol=1e-4, atol=1e-4)
