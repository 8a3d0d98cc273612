"""Windows of a text, the words that its tokens cover, and the program's perplexity on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.checks.rules import require_sound
from llm_export.cli.main import main
from llm_export.errors import LlmExportError, MissingDependencyError, RecipeError
from llm_export.evaluation.eval_text import shipped_text
from llm_export.evaluation.text import windows_of
from llm_export.evaluation.word_spans import covered
from llm_export.models.load_model import load_model
from llm_export.resolve.recipe import resolve


@given(
    count=st.integers(1, 60), length=st.integers(1, 20), positions=st.integers(1, 80),
    bos=st.none() | st.just(-1),
)  # fmt: skip
def test_windows_predict_each_token_once(
    count: int, length: int, positions: int, bos: int | None
) -> None:
    ids = list(range(count))
    made = windows_of(ids, ids, ids, length=length, positions=positions, bos=bos)
    predicted = [int(i) for window in made for i in window.targets]
    first = 0 if bos is not None else 1
    assert predicted == ids[first : first + len(predicted)]
    assert len(predicted) >= min(positions, count - first)
    assert len(predicted) < positions + length
    for window in made:
        assert len(window.ids) <= length
        assert window.first == 0
        assert (window.ids[0] == bos) == (bos is not None)
        assert window.ids[1:] == window.targets[:-1].tolist()


@settings(deadline=None)
@given(text=st.text(alphabet="aé \n𝛼.z", max_size=40))
def test_words_and_bytes_add_up_to_the_text(text: str, byte_tokenizer: Path) -> None:
    ids, words, sizes = covered(byte_tokenizer, text)
    assert len(ids) == len(words) == len(sizes)
    assert sum(words) == len(text.split())
    assert sum(sizes) == len(text.encode())


@pytest.fixture(scope="module")
def byte_tokenizer(portable_bundle: Path) -> Path:
    return portable_bundle / "tokenizer.json"


def test_the_perplexity_of_a_float_program_is_that_of_the_text(
    portable_bundle: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(shipped_text()[:900])
    found = api.evaluate(portable_bundle, text=text, positions=100, window=64)
    (result,) = found.tasks
    program, reference = result.of("program"), result.of("float")
    assert program is not None
    assert reference is not None
    assert set(reference.values) == {"perplexity", "word_perplexity", "bits_per_byte"}
    assert program.values["mean_kl"] < 1e-9
    assert program.values["top1_agreement"] == 1
    # Anew: the cacheless model, its own windows, cross entropy.
    recipe = resolve(api.compose(str(portable_bundle / "recipe.yaml")).recipe).recipe
    model = load_model(recipe, attention="cacheless", context_length=64, all_logits=True).model
    ids, words, _ = covered(portable_bundle / "tokenizer.json", text.read_text())
    bos = json.loads((portable_bundle / "manifest.json").read_text())["tokenizer"]
    loss, scored, count = 0.0, 0, 0
    for start in (0, 64):
        targets = ids[start : start + 64] if bos["add_bos"] else ids[start + 1 : start + 65]
        fed = [bos["bos_id"], *targets[:-1]] if bos["add_bos"] else ids[start : start + 64]
        with torch.no_grad():
            logits = model(torch.tensor([fed]), torch.tensor([0]))[0]
        loss += float(torch.nn.functional.cross_entropy(
            logits.double(), torch.tensor(targets), reduction="sum"))  # fmt: skip
        first = start if bos["add_bos"] else start + 1
        scored += sum(words[first : first + len(targets)])
        count += len(targets)
    assert program.count == count == 128
    expected = torch.tensor(loss / count).double().exp()
    assert program.values["perplexity"] == pytest.approx(float(expected), rel=1e-3)
    per_word = torch.tensor(loss / scored).double().exp()
    assert program.values["word_perplexity"] == pytest.approx(float(per_word), rel=1e-3)
    assert program.spans is not None
    assert [(s.first, s.last, s.count) for s in program.spans] == [
        (1, 15, 30), (16, 63, 96), (64, 255, 2)
    ]  # fmt: skip
    mean = sum(span.count * span.values["mean_kl"] for span in program.spans) / count
    assert mean == pytest.approx(program.values["mean_kl"])


def test_the_verb_says_what_it_cannot_compare(
    portable_bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(shipped_text()[:300])
    words = ["evaluate", str(portable_bundle), "--layers", "quantized,program", "--text", str(text)]
    assert main([*words, "--positions", "20", "--window", "32"]) in (0, None)
    printed = capsys.readouterr().out
    assert re.search(r"\| model \| perplexity \| perplexity per word \| bits per byte \|", printed)
    assert "- quantized: only a run has the quantized eager model" in printed
    assert "mean KL" not in printed, "there is no float model to compare with"
    with pytest.raises(RecipeError, match="there is no layer 'pte'"):
        api.evaluate(portable_bundle, layers=["pte"])
    with pytest.raises(RecipeError, match="positions"):
        api.evaluate(portable_bundle, positions=0)
    with pytest.raises(LlmExportError, match="nothing could be evaluated: quantized"):
        api.evaluate(portable_bundle, layers=["quantized"])


def test_an_unknown_task_is_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_export.checks import evaluation

    def problems(words: str) -> str:
        composed = api.compose(None, ["model=tiny", "backend=xnnpack", *words.split()])
        return "\n".join(str(problem) for problem in api.check(composed))

    assert problems("evaluate=quick") == problems("evaluate=full") == ""
    assert "there is nothing to evaluate" in problems("evaluate=quick evaluate.tasks=[]")
    assert "'text' is there twice" in problems("evaluate=quick evaluate.tasks=[text,text]")
    assert "no such folder: /no" in problems("evaluate=quick evaluate.task_paths=[/no]")
    assert "no such text file" in problems("evaluate=quick evaluate.text=/no.txt")
    assert "a window of 99999 tokens" in problems("evaluate=quick evaluate.window=99999")
    assert problems("evaluate.tasks=[]") == "", "evaluation is off"
    monkeypatch.setattr(evaluation, "is_installed", lambda: False)
    said = problems("evaluate=quick evaluate.tasks=[arc_easy]")
    assert "'arc_easy' needs the package 'lm-eval'" in said
    assert 'pip install "llm_export[eval]"' in said
    with pytest.raises(MissingDependencyError, match="lm-eval"):
        require_sound(api.compose(None, ["model=tiny", "evaluate=tasks"]).recipe)
