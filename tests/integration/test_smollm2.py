"""The main job on a real model, SmolLM2-135M-Instruct from its GGUF. Minutes long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from integration.test_run import compare_with_cpp_runner

from llm_export import api
from llm_export.checkpoints.cache import cache_dir
from llm_export.evaluation.eval_text import shipped_text
from llm_export.evaluation.harness_names import DATA
from llm_export.metrics.comparison import Comparison
from llm_export.pipeline.artifacts import Loaded
from llm_export.stages.verification.logits import eager_logits, program_logits
from llm_export.stages.verification.metrics import windows
from runtime_py import LLM

pytestmark = pytest.mark.slow
RECIPE = "smollm2_135m_xnnpack_8da8w"
FAST = ("benchmark=off", "deploy.questions=[]")


@pytest.fixture(scope="module")
def float_bundle(export: Callable[..., Path]) -> Path:
    # Verification is what test_float32_is_transformers does, against another reference.
    asked = "deploy.questions=[What is the capital of France?]"
    return export("quant=none", "verify=off", "benchmark=off", asked, recipe=RECIPE)


@pytest.fixture(scope="module")
def int8_bundle(export: Callable[..., Path]) -> Path:
    return export(*FAST, recipe=RECIPE)


@pytest.fixture(scope="module")
def reference() -> tuple[Any, Any]:
    """transformers' own reading of the same file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = next((cache_dir() / "packages").rglob("*.gguf"))
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(**where)


def test_the_model_is_transformers(reference: tuple[Any, Any], tmp_path: Path) -> None:
    """Before any transform. What lowering adds, the int8 bundle's verification has measured."""
    model, tokenizer = reference
    ids = tokenizer(shipped_text()[:1000]).input_ids
    with api.run(RECIPE, until="load", out=tmp_path / "o", quiet=True) as run:
        assert isinstance(run.artifact, Loaded)
        ours = eager_logits(run.artifact.model, ids)
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0]
    comparison = Comparison()
    comparison.add(ours[:-1], theirs[:-1], torch.tensor(ids[1:]))
    result = comparison.result()
    assert result.positions > 200
    assert result.top1_agreement >= 0.999
    assert result.mean_kl < 1e-5


@pytest.mark.release
@pytest.mark.parametrize("count", [2, 18])
def test_float32_is_transformers(
    count: int, float_bundle: Path, reference: tuple[Any, Any]
) -> None:
    """English through the program, window by window, against transformers."""
    model, _ = reference
    llm = LLM.load(float_bundle)
    ids = llm.tokenizer.encode(shipped_text(), raw=False)
    comparison, prefill, length = Comparison(), 32, 256
    for window in windows(ids, length, count):
        with torch.no_grad():
            expected = model(torch.tensor([window[:-1]])).logits[0, prefill - 1 :]
        actual = program_logits(llm.program, window[:-1], prefill)
        comparison.add(actual, expected, torch.tensor(window[prefill:]))
    result = comparison.result()
    print(result)
    assert result.positions == count * (length - prefill + 1)
    assert result.top1_agreement >= 0.999
    assert result.mean_kl < 1e-5


def test_the_tokenizer_is_transformers(int8_bundle: Path, reference: tuple[Any, Any]) -> None:
    llm, tokenizer = LLM.load(int8_bundle), reference[1]
    for text in (shipped_text()[:5000], "<|im_start|>user\nHi!<|im_end|>\n", "a  b\n\nc"):
        assert (
            llm.tokenizer.encode(text, raw=False)
            == tokenizer(text, add_special_tokens=False).input_ids
        )


@pytest.mark.parametrize("positions", [1000, pytest.param(4000, marks=pytest.mark.release)])
def test_eight_bits_stay_near(positions: int, export: Callable[..., Path]) -> None:
    words = [] if positions == 1000 else [f"verify.positions={positions}"]
    int8_bundle = export(*FAST, *words, recipe=RECIPE)
    parity = json.loads((int8_bundle / "parity.json").read_text())
    quality = parity["comparisons"]["quality"]
    print(json.dumps(parity))
    assert quality["positions"] >= positions
    assert quality["mean_kl"] <= 0.010
    assert (int8_bundle / "model.pte").stat().st_size <= 145e6
    assert quality["top1_agreement"] > 0.9


@pytest.mark.release
def test_it_knows_the_capital_of_france(float_bundle: Path) -> None:
    answers = json.loads((float_bundle / "answers.json").read_text())
    assert "Paris" in answers[0]["answer"]


def test_the_quantized_model_knows_it_too(int8_bundle: Path) -> None:
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert "Paris" in LLM.load(int8_bundle).generate(prompt, max_new_tokens=16).text


@pytest.mark.parametrize(
    "which", ["int8_bundle", pytest.param("float_bundle", marks=pytest.mark.release)]
)
def test_the_cpp_runner_gives_the_same_64_tokens(
    which: str, request: pytest.FixtureRequest
) -> None:
    text = compare_with_cpp_runner(request.getfixturevalue(which), "The history of Rome is", 64)
    assert len(text) > 100


@pytest.mark.release
def test_an_evaluation_of_the_float_program_is_that_of_transformers(
    float_bundle: Path, reference: tuple[Any, Any]
) -> None:
    """Perplexity within 0.1 %, and a task of lm-evaluation-harness with its own model of
    transformers."""
    check_evaluation(float_bundle, *reference)


def check_evaluation(bundle: Path, model: Any, tokenizer: Any) -> None:
    found = api.evaluate(bundle, tasks=["text", "endings"], positions=1000, max_examples=20)
    text, endings = found.tasks
    program, float_model = text.of("program"), text.of("float")
    assert program is not None
    assert float_model is not None
    ids, loss, count = tokenizer(shipped_text(), add_special_tokens=False).input_ids, 0.0, 0
    for start in range(0, program.count, 512):
        window = torch.tensor([ids[start : start + 513]])
        with torch.no_grad():
            logits = model(window[:, :-1]).logits[0].double()
        loss += float(torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="sum"))
        count += len(logits)
    expected = float(torch.tensor(loss / count).double().exp())
    print(expected, program.values, float_model.values)
    assert count == program.count
    assert program.values["perplexity"] == pytest.approx(expected, rel=1e-3)
    assert float_model.values["perplexity"] == pytest.approx(expected, rel=1e-3)

    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    theirs = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1), tasks=["endings"], limit=20,
        task_manager=TaskManager(include_path=[DATA], include_defaults=False),
    )["results"]["endings"]  # fmt: skip
    made = endings.of("program")
    assert made is not None
    print(theirs, made)
    assert made.count == 20
    for metric in ("acc", "acc_norm"):
        assert made.values[metric] == pytest.approx(theirs[f"{metric},none"])
