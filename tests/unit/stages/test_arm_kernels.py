"""A program computed by kernels for Arm, under emulation."""

from __future__ import annotations

import json
import os
import re
import shlex
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export import api
from llm_export.arm.calls import Steps
from llm_export.arm.emulate import BY_REFERENCE, computed, operators
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
from llm_export.stages.verification.arm_kernels import few_positions
from llm_export.stages.verification.logits import program_logits
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
    assert line[1:] in (quantized_bundle / "report.html").read_text()


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
    assert proof.sentence == (
        "Computed by Arm kernels under emulation (qemu-aarch64 7.2.22, 12 s): "
        "NEON good (mean KL 0.01 over 10 positions), dot product wrong (mean KL 9 over 1 "
        "position), int8 matrix product fails: error 0x23, int8 matrix product not computed: "
        "qemu has no processor of that kind; llama::update_cache.out by reference kernels, which "
        "the libraries for Arm lack; only 1 text."
    )


@pytest.fixture(scope="module")
def parts() -> Emulation:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(QEMU)
        try:
            return emulation(download=True)
        except MissingDependencyError as lacking:
            pytest.skip(f"{lacking.what}: {lacking.fix}")


CASES = (
    ("backend=portable",),  # custom_sdpa
    ("backend=xnnpack", "quant=8da8w"),  # sdpa_with_kv_cache
    ("backend=xnnpack", "runtime=static"),
    ("backend=xnnpack", "quant=8da8w", "quant.kv_cache=int8"),  # custom_quantized_sdpa
)


@pytest.mark.slow
@pytest.mark.parametrize("words", [*CASES, None], ids=lambda words: " ".join(words or ["state"]))
def test_the_runner_computes_what_the_runtime_does(
    words: tuple[str, ...] | None, parts: Emulation, request: pytest.FixtureRequest
) -> None:
    export = request.getfixturevalue("export")
    folder = export(*words) if words else request.getfixturevalue("recurrent_bundle")
    bundle = Bundle.open(folder)
    facts = Manifest.from_dict(bundle.manifest).program
    needed = bundle.manifest["requires"]["operators"]
    assert operators(parts).issuperset(needed)
    with LLM.load(folder) as llm:
        program = llm.program
        ids = [(7919 * i + 13) % facts.vocab_size for i in range(14)]
        wanted = program_logits(program, ids, 9)
        steps = Steps(program.steps, program.dynamic, program.recurrent, program.context_length)
        calls = list(steps.calls(ids, 9))
    found = computed(parts, LEVELS[1], folder / "model.pte", calls, facts.vocab_size,
                     token_dtype=facts.token_dtype or "int64", seconds=30)  # fmt: skip
    assert found.rows.shape == wanted.shape
    assert (found.rows - wanted).abs().max() < 1e-3 * wanted.abs().max()
    none = computed(parts, LEVELS[1], folder / "model.pte", calls, facts.vocab_size,
                    token_dtype=facts.token_dtype or "int64", seconds=1e-3)  # fmt: skip
    assert none.rows.shape == (0, facts.vocab_size)
    assert any(name.startswith(BY_REFERENCE) for name in needed)


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
    words = ["model=tiny", "backend=xnnpack", "quant=8da8w", "benchmark=off",
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
    parity = json.loads((tmp_path / "wrong" / "parity.json").read_text())
    assert [level["good"] for level in parity["arm"]["levels"]] == [False] * len(LEVELS)
    assert parity["verdict"]["faithful"] is False
    assert parity["comparisons"]["lowering"]["mean_kl"] < 1e-3
