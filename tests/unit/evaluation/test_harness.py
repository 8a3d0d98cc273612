"""Tasks of lm-evaluation-harness, on data that need no network."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hf_models
import pytest

from llm_export import api
from llm_export.evaluation.harness_names import DATA, folder_of, known_names
from llm_export.models.load_model import load_model
from llm_export.resolve.recipe import resolve

REPO = Path(__file__).parents[3]


def test_the_shipped_questions_are_those_of_the_text() -> None:
    spec = importlib.util.spec_from_file_location(
        "ending_questions", REPO / "docs_tools" / "ending_questions.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text(encoding="utf-8") == module.content()


def test_names_are_found_without_the_harness(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text(
        "task: mine\ntag:\n  - some_tag\ndataset_path: json\n"
    )
    (tmp_path / "b.yaml").write_text("group: 'all_mine'\ntask:\n  - mine\n")
    paths = [str(tmp_path)]
    assert folder_of("endings", []) == DATA
    for name in ("mine", "some_tag", "all_mine"):
        assert folder_of(name, paths) == tmp_path
    assert folder_of("no_such_task_anywhere", paths) is None
    assert {"mine", "all_mine", "endings"} <= set(known_names(paths))


@pytest.mark.slow
def test_it_scores_as_the_harness_s_own_model_of_transformers(
    portable_bundle: Path, tmp_path: Path
) -> None:
    """Likelihoods, rolling likelihoods with texts longer than the context, and answers."""
    pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedTokenizerFast

    from llm_export.evaluation.harness_model import HarnessModel
    from llm_export.stages.evaluation.subjects import eager_subject
    from runtime_py.llm import load_tokenizer

    theirs_model = hf_models.llama(max_position_embeddings=64)
    folder = hf_models.save(theirs_model, tmp_path / "hf")
    file = folder / "tokenizer.json"
    theirs = HFLM(
        pretrained=theirs_model, batch_size=1, max_length=64,
        tokenizer=PreTrainedTokenizerFast(tokenizer_file=str(file), eos_token="<|end|>"),
    )  # fmt: skip
    words = ["model=auto", f"checkpoint.path={folder}", "backend=portable"]
    recipe = resolve(api.compose(None, words).recipe).recipe
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    tokenizer = load_tokenizer(portable_bundle)
    tokenizer.bos_id, tokenizer.eos_ids = None, frozenset({theirs.eot_token_id})
    tokenizer.add_bos = False
    request: Any = SimpleNamespace(
        tokenizer=tokenizer, template=None, tokenizer_file=file, progress=lambda done, total: None
    )

    def asked(*arguments: Any) -> Any:
        return SimpleNamespace(args=arguments)

    pairs = [
        ("Once upon", " a time"),
        ("Once upon", " a horse"),
        ("", "Hi there"),
        ("x" * 90, "yz"),
    ]
    texts = ["Sir Walter Elliot, of Kellynch Hall. " * 4, "short"]
    with eager_subject("float", model) as subject:
        ours = HarnessModel(subject, request)
        for (mine, best), (wanted, also) in zip(
            ours.loglikelihood([asked(*p) for p in pairs], disable_tqdm=True),
            theirs.loglikelihood([asked(*p) for p in pairs], disable_tqdm=True),
            strict=True,
        ):
            assert mine == pytest.approx(wanted, abs=1e-3)
            assert best == also
        rolled = ours.loglikelihood_rolling([asked(text) for text in texts])
        wanted_rolled = theirs.loglikelihood_rolling([asked(t) for t in texts], disable_tqdm=True)
        assert rolled == pytest.approx(wanted_rolled, abs=1e-2)


@pytest.mark.slow
def test_a_shipped_and_a_local_task_measure_the_program(
    portable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    (tmp_path / "mine.jsonl").write_text(
        '{"q": "2 + 2 =", "a": " 4"}\n{"q": "1 + 1 =", "a": " 2"}\n'
    )
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/mine.jsonl}}}}\n"
        'test_split: test\noutput_type: generate_until\ndoc_to_text: "{{q}}"\n'
        'doc_to_target: "{{a}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 4}\n'
        "metric_list: [{metric: exact_match}]\n"
    )
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found = api.evaluate(
        portable_bundle, tasks=["endings", "mine"], task_paths=[tmp_path], max_examples=4
    )
    endings, mine = found.tasks
    assert found.missing == {}
    for result, count, names in ((endings, 4, {"acc", "acc_norm"}), (mine, 2, {"exact_match"})):
        assert [score.layer for score in result.scores] == ["float", "program"]
        first, last = result.scores
        assert first.count == last.count == count
        assert set(last.values) == names
        assert first.values == last.values, "a float program answers as its model"
    assert "lm_eval" in sys.modules
