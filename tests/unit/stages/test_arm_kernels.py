"""A program computed by kernels for Arm, under emulation."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_run import INT8_CACHE
from torch import Tensor, nn

from llm_export import api
from llm_export.arm.calls import Call, Steps
from llm_export.arm.emulate import NotEmulated, computed, operators
from llm_export.arm.levels import LEVELS
from llm_export.arm.parts import QEMU, Emulation, emulation, own_kernels
from llm_export.bundle.arm_proof import ArmLevel, ArmProof
from llm_export.bundle.manifest import Manifest
from llm_export.checks.rules import find_problems
from llm_export.config.composed import Composed
from llm_export.config.schema import Thresholds
from llm_export.errors import MissingDependencyError, StageError, VerificationError
from llm_export.json_data import from_json, to_json
from llm_export.metrics.comparison import ComparisonResult
from llm_export.stages.verification.arm_kernels import few_positions, remark
from llm_export.stages.verification.logits import program_logits
from llm_export.stages.verification.metrics import widened
from llm_export.transforms.attention import require_custom_ops
from runtime_py import LLM
from runtime_py.bundle import Bundle

CACHE = Path(os.environ.get("LLM_EXPORT_CACHE") or Path.home() / ".cache" / "llm_export")


@pytest.mark.skipif(own_kernels(), reason="this machine has the kernels itself")
def test_without_the_parts_nothing_fails_and_one_line_tells(quantized_bundle: Path) -> None:
    said = json.loads((quantized_bundle / "manifest.json").read_text())["proof"]
    assert said["verified"]
    assert said["arm"]["levels"] == []
    assert said["arm"]["reason"].startswith("no emulator")
    line = str(from_json(ArmProof, said["arm"]))
    assert line.startswith("not computed by Arm kernels: no emulator")
    assert "llm-export doctor" in line
    assert line[1:] in (quantized_bundle / "report.md").read_text()
    assert line[1:] in html.unescape((quantized_bundle / "report.html").read_text())


@pytest.mark.skipif(own_kernels(), reason="this machine has the kernels itself")
def test_what_require_lacks_is_said_before_a_run(composed: Callable[..., Composed]) -> None:
    def found(*words: str) -> list[tuple[str, str, bool]]:
        problems = find_problems(composed("model=tiny", *words).recipe)
        return [(p.what, p.fix, p.environment) for p in problems if p.key == "verify.arm"]

    ((what, fix, environment),) = found("backend=xnnpack", "verify.arm=require")
    assert "no emulator" in what
    assert "apt-get install qemu-user" in fix
    assert environment
    ((what, fix, environment),) = found("backend=vulkan", "verify.arm=require")
    assert "run no program of vulkan" in what
    assert fix == "verify.arm=auto"
    assert not environment
    assert not found("backend=xnnpack")


def test_limits_of_few_positions() -> None:
    limits = Thresholds(max_mean_kl=1e-3, min_top1=0.98)
    assert few_positions(limits, None, 2, 4) == Thresholds(max_mean_kl=1e-3)
    floor = ComparisonResult(1000, {"mean_kl": 0.007, "p99_kl": 0.04, "top1_agreement": 0.93})
    assert few_positions(limits, floor, 2, 4).max_mean_kl == pytest.approx(0.04)
    many = few_positions(limits, floor, 2, 10000).max_mean_kl
    assert many == pytest.approx(0.014, rel=1e-6)
    assert few_positions(Thresholds(), floor, 2, 4) == Thresholds()
    loud = ComparisonResult(1000, {"mean_kl": 0.02, "p99_kl": 9.0})
    widest = few_positions(limits, loud, 2, 4).max_mean_kl
    assert widest == widened(limits, loud, 1e9).max_mean_kl


def test_what_a_proof_says() -> None:
    near, far = ComparisonResult(10, {"mean_kl": 0.01}), ComparisonResult(1, {"mean_kl": 9.0})
    good = ArmLevel("NEON", "cortex-a53", True, comparison=near)
    wrong = ArmLevel("dot product", "cortex-a76", False, comparison=far)
    dead = ArmLevel("int8 matrix product", good=False, reason="error 0x23")
    absent = ArmLevel("int8 matrix product", reason="qemu has no processor of that kind")
    proof = ArmProof(
        (good, wrong, dead, absent), emulator="qemu-aarch64 7.2.22", seconds=12.3,
        reference_operators=("llama::update_cache.out",), cut="only 1 text",
    )  # fmt: skip
    assert from_json(ArmProof, to_json(proof)) == proof
    assert remark(proof) == ", wrong by Arm kernels (dot product, int8 matrix product)"
    assert remark(replace(proof, levels=(good, absent))) == ", Arm kernels agree"
    assert remark(replace(proof, levels=(absent,))) == ""
    assert str(replace(good, good=None)) == "NEON not judged (mean KL 0.01 over 10 positions)"
    assert proof.sentence == (
        "Computed by Arm kernels under emulation (qemu-aarch64 7.2.22, 12 s): "
        "NEON good (mean KL 0.01 over 10 positions), dot product wrong (mean KL 9 over 1 "
        "position), int8 matrix product fails: error 0x23, int8 matrix product not computed: "
        "qemu has no processor of that kind; llama::update_cache.out by reference kernels, which "
        "the libraries for Arm lack; only 1 text."
    )


def test_an_emulator_that_does_not_run_the_runner_says_nothing_of_the_program(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "qemu-aarch64"
    broken.write_text("#!/bin/sh\necho 'no such file' >&2; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(NotEmulated, match="does not run the runner: no such file"):
        operators(Emulation(broken, tmp_path, tmp_path, tmp_path))
    broken.write_text("#!/bin/sh\nkill -9 $$\n")
    killed = Emulation(broken, tmp_path, tmp_path, tmp_path)
    with pytest.raises(NotEmulated, match="signal 9"):
        operators(killed)
    with pytest.raises(NotEmulated, match="does not run: "):
        operators(Emulation(tmp_path / "none", tmp_path, tmp_path, tmp_path))


@pytest.fixture(scope="module")
def parts() -> Emulation:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(QEMU)
        try:
            return emulation(download=True)
        except MissingDependencyError as lacking:
            pytest.skip(f"{lacking.what}: {lacking.fix}")


CASES = {
    "llama::custom_sdpa.out": ("backend=portable",),
    "llama::sdpa_with_kv_cache.out": ("backend=xnnpack", "quant=8da8w"),
    "llama::custom_quantized_sdpa.out": INT8_CACHE,
    "aten::index_put.out": ("backend=xnnpack", "runtime=static"),  # two methods
}
"""An operator -> words of a recipe whose program has it."""


@pytest.mark.slow
@pytest.mark.parametrize("operator", [*CASES, "of a recurrent model"])
def test_the_runner_computes_what_the_runtime_does(
    operator: str, parts: Emulation, request: pytest.FixtureRequest
) -> None:
    if words := CASES.get(operator):
        folder = request.getfixturevalue("export")(*words)
    else:
        folder = request.getfixturevalue("recurrent_bundle")
    manifest = Bundle.open(folder).manifest
    facts, needed = Manifest.from_dict(manifest).program, manifest["requires"]["operators"]
    assert operators(parts).issuperset(needed)
    assert operator in needed or not words
    with LLM.load(folder) as llm:
        program = llm.program
        ids = [(7919 * i + 13) % facts.vocab_size for i in range(14)]
        wanted = program_logits(program, ids, 9)
        steps = Steps(program.steps, program.dynamic, program.recurrent, program.context_length)
        calls = list(steps.calls(ids, 9))

    def rows(seconds: float) -> Tensor:
        return computed(
            parts, LEVELS[1], folder / "model.pte", calls, facts.vocab_size,
            token_dtype=facts.token_dtype or "int64", seconds=seconds,
        ).rows  # fmt: skip

    found = rows(60)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
    assert rows(1e-3).shape == (0, facts.vocab_size)


INT8_PRODUCTS = {
    "SDOT": ((0xBFC0F400, 0x0F80E000), (0xBFE0FC00, 0x0E809400)),
    "SMMLA": ((0xFFE0FC00, 0x4E80A400),),
}
"""Instruction -> mask and value of its encodings (Arm Architecture Reference Manual, C7)."""


@pytest.mark.slow
def test_each_level_runs_kernels_of_its_own(
    quantized_bundle: Path, parts: Emulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the instructions tell that the emulator has translated."""
    facts = Manifest.from_dict(Bundle.open(quantized_bundle).manifest).program
    calls = list(Steps({"forward": 8}, True, False, facts.context_length).calls([1, 2, 3, 4], 3))
    monkeypatch.setenv("QEMU_LOG", "in_asm")
    found = {}
    for level in LEVELS:
        log = tmp_path / level.name
        monkeypatch.setenv("QEMU_LOG_FILENAME", str(log))
        computed(parts, level, quantized_bundle / "model.pte", calls, facts.vocab_size,
                 token_dtype="int64", seconds=60)  # fmt: skip
        words = re.findall(r"^0x[0-9a-f]+: +([0-9a-f]{8}) ", log.read_text(errors="replace"), re.M)
        codes = {int(word, 16) for word in words}
        found[level.name] = {
            name
            for name, forms in INT8_PRODUCTS.items()
            if any(code & mask == value for mask, value in forms for code in codes)
        }
    assert "SMMLA" in found["int8 matrix product"]
    assert found | {"int8 matrix product": {"SMMLA"}} == {
        "NEON": set(), "dot product": {"SDOT"}, "int8 matrix product": {"SMMLA"},
    }  # fmt: skip


def damaged(program: Path, out: Path) -> Path:
    """The same program with the bytes of its weights in another order, in their middle third."""
    body = bytearray(program.read_bytes())
    (base,) = struct.unpack_from("<Q", body, 24)
    third = (len(body) - base) // 3
    middle = slice(base + third, base + 2 * third)
    body[middle] = body[middle][::-1]
    out.write_bytes(body)
    return out


@pytest.mark.slow
def test_weights_that_are_wrong_on_arm_alone_fail_the_run(
    parts: Emulation, stage_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulator is given another file than the machine that exports has verified."""
    stage_cache.parent.mkdir(parents=True)
    (stage_cache.parent / "runners").symlink_to(CACHE / "runners")
    words = ["model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack", "quant=8da8w",
             "benchmark=off",
             "verify.positions=50", "deploy.questions=[]", "verify.arm=require"]  # fmt: skip
    monkeypatch.delenv(QEMU)
    sound = api.run(None, words, out=tmp_path / "sound", quiet=True)
    proof = sound.summary.proof.arm
    assert proof is not None
    assert [level.name for level in proof.levels] == [level.name for level in LEVELS]
    assert all(level.good for level in proof.levels), str(proof)
    assert all(level.comparison.mean_kl < 1e-6 for level in proof.levels if level.comparison)
    assert "llama::sdpa_with_kv_cache.out" in proof.reference_operators
    wrong = damaged(sound.bundle / "model.pte", tmp_path / "wrong.pte")
    wrapper = tmp_path / "qemu"
    wrapper.write_text(
        "#!/bin/bash\n"
        f"exec {shlex.quote(str(parts.emulator))} "
        f'"${{@/--model_path=*/--model_path={shlex.quote(str(wrong))}}}"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv(QEMU, str(wrapper))
    with pytest.raises((VerificationError, StageError), match="the program is not right") as caught:
        api.run(None, words, out=tmp_path / "wrong", quiet=True)
    for level in LEVELS:
        assert f"program by Arm kernels ({level.name}, under emulation)" in str(caught.value)
    record = json.loads((tmp_path / ".wrong.partial" / "run.json").read_text())
    facts = next(stage["facts"] for stage in record["stages"] if stage["name"] == "verify")
    assert [level["good"] for level in facts["arm"]["levels"]] == [False] * len(LEVELS)
    assert facts["verdict"]["faithful"] is False
    assert facts["comparisons"]["lowering"]["mean_kl"] < 1e-3


class DeltaRule(nn.Module):
    """tokens [1, S], position [1] -> [1, S, 4]: two heads of the gated delta rule."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(16, 2, 18, generator=generator) / 4)
        self.register_buffer("state", torch.randn(1, 2, 8, 2, generator=generator))

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        x = self.table[tokens].transpose(1, 2).contiguous()  # [1, 2, S, 18]
        q, k = x[..., :8].contiguous(), x[..., 8:16].contiguous()
        v, gates = x[..., 16:].contiguous(), torch.sigmoid(x)
        decay, rate = gates[..., 0].contiguous(), gates[..., 1].contiguous()
        y, after = torch.ops.llama.gated_delta_rule(q, k, v, decay, rate, self.state)
        y = y.transpose(1, 2).contiguous().view(1, -1, 4)
        return y + after.view(-1)[:4] + position.to(y.dtype)


@pytest.mark.slow
def test_the_gated_delta_rule(parts: Emulation, tmp_path: Path) -> None:
    from executorch.exir import to_edge_transform_and_lower

    require_custom_ops()
    model, tokens = DeltaRule().eval(), [3, 1, 4, 1, 5]
    inputs = (torch.tensor([tokens]), torch.tensor([2]))
    program = torch.export.export(model, inputs, strict=False)
    path = tmp_path / "model.pte"
    with path.open("wb") as file:
        to_edge_transform_and_lower(program).to_executorch().write_to_file(file)
    calls = [Call("forward", 2, row, tuple(tokens)) for row in range(len(tokens))]
    found = computed(parts, LEVELS[0], path, calls, 4, token_dtype="int64", seconds=60)
    with torch.no_grad():
        torch.testing.assert_close(found.rows, model(*inputs)[0], atol=1e-5, rtol=1e-5)
