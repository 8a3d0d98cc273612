"""The generic tier of text to text: encoder–decoders of transformers as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_models import save
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError, RecipeError
from llm_export.models.load_model import load_model
from llm_export.models.seq2seq.languages import check_languages
from llm_export.models.seq2seq.options import TranslateOptions
from llm_export.models.task import task_options
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.tokenizers.folder import read_tokenizer

_BART = {
    "vocab_size": 320, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96, "max_position_embeddings": 130, "decoder_start_token_id": 2,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
_T5 = {
    "vocab_size": 320, "d_model": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
    "d_kv": 16, "d_ff": 96, "decoder_start_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "bart": _BART, "marian": _BART, "pegasus": _BART, "m2m_100": _BART, "umt5": _T5,
}  # fmt: skip


def folder_of(kind: str, folder: Path, **changes: Any) -> tuple[Any, Path]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**KINDS[kind], **changes})
    hf = AutoModelForSeq2SeqLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
    hf.tie_weights()
    return hf, save(hf, folder)


def composed(folder: Path, *words: str) -> Recipe:
    said = ["model=auto", "model.task=translate", f"checkpoint.path={folder}", *words]
    return api.compose_recipe(None, said).recipe


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_the_library_s_whole(kind: str, tmp_path: Path) -> None:
    hf, folder = folder_of(kind, tmp_path / kind)
    recipe = composed(folder)
    assert recipe.model.definition == "hf"
    assert [p for p in find_problems(recipe) if not p.environment] == []
    model: Any = load_model(recipe, attention="plain", context_length=32, all_logits=False).model
    model.init_buffers()
    encoder, decoder = model.methods(task_options(recipe), dynamic=True)
    other, ids = torch.randint(3, 300, (1, 11)), torch.randint(3, 300, (1, 9))
    answer = torch.randint(3, 300, (1, 6))
    with torch.no_grad():
        encoder.module(other, torch.ones_like(other))  # a longer source before
        encoder.module(ids, torch.ones_like(ids))
        wanted = hf(input_ids=ids, decoder_input_ids=answer).logits
        first = decoder.module(answer[:, :3], torch.tensor([0]))
        torch.testing.assert_close(first, wanted[:, 2], rtol=1e-4, atol=1e-4)
        for at in range(3, 6):
            row = decoder.module(answer[:, at : at + 1], torch.tensor([at]))
            torch.testing.assert_close(row, wanted[:, at], rtol=1e-4, atol=1e-4)


def test_its_task_is_named_and_rules_know_its_head_and_its_tables(tmp_path: Path) -> None:
    _, folder = folder_of("bart", tmp_path / "bart")
    (problem,) = find_problems(
        api.compose_recipe(None, ["model=auto", f"checkpoint.path={folder}"]).recipe
    )
    assert problem.fix == "model.task=translate"
    resolved = resolve(composed(folder, "backend=xnnpack", "quant=8da8w"))
    assert not any("output head" in note for note in resolved.notes)
    model: Any = load_model(
        resolved.recipe, attention="plain", context_length=16, all_logits=False
    ).model
    found = {c.name: c.kind.value for c in resolve_rules(model, resolved.recipe.quant.rules)}
    assert found["hf.lm_head"] == "head"
    tables = [name for name, kind in found.items() if kind == "embedding"]
    assert tables == ["hf.model.shared", "hf.model.encoder.embed_tokens",
                      "hf.model.decoder.embed_tokens"]  # fmt: skip
    # A lookup with an index of padding has no kernel that reads a quantized table.
    assert all(model.get_submodule(name).padding_idx is None for name in tables)


def test_padding_changes_nothing(tmp_path: Path) -> None:
    _, folder = folder_of("bart", tmp_path / "bart")
    recipe = composed(folder)
    model: Any = load_model(recipe, attention="plain", context_length=16, all_logits=False).model
    model.init_buffers()
    ids = torch.randint(3, 300, (1, 16))
    mask = (torch.arange(16) < 5).long()[None]
    start, zero = torch.tensor([[2]]), torch.tensor([0])
    with torch.no_grad():
        model.encode(ids, mask)
        padded = model.decode(start, zero)
        model.encode(ids[:, :5], mask[:, :5])
        torch.testing.assert_close(model.decode(start, zero), padded, rtol=1e-4, atol=1e-5)


def test_a_model_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    hf = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("longt5", **_T5)).eval()
    problems = find_problems(composed(save(hf, tmp_path / "longt5")))
    assert "the encoder of 'longt5' cannot be followed" in problems[0].what


def with_languages(folder: Path, **said: Any) -> Path:
    """A folder whose tokenizer writes a language before a text, as NLLB's."""
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    names = ["eng_Latn", "fra_Latn"]
    tokenizer.add_special_tokens([*names, "</s>"])
    number = tokenizer.token_to_id
    tokenizer.post_processor = TemplateProcessing(
        single=["eng_Latn", "$A", "</s>"],
        special_tokens=[(name, number(name)) for name in ("eng_Latn", "</s>")],
    )
    tokenizer.save(str(path))
    (folder / "generation_config.json").write_text(json.dumps(said))
    return folder


def test_languages_of_texts_and_answers(tmp_path: Path) -> None:
    _, folder = folder_of("m2m_100", tmp_path / "nllb", vocab_size=330)
    with_languages(folder)
    (problem,) = [p for p in find_problems(composed(folder)) if not p.environment]
    assert problem.what == "the model answers in one of 2 languages, and nothing says which"
    assert problem.fix == "one of eng_Latn, fra_Latn"
    other = composed(folder, "model.task_options.target_language=fr_Latn")
    (problem,) = [p for p in find_problems(other) if not p.environment]
    assert problem.what == "the model has no token for the language 'fr_Latn'"
    to, of = "model.task_options.target_language", "model.task_options.source_language"
    recipe = composed(folder, f"{to}=eng_Latn", f"{of}=fra_Latn")
    assert [p for p in find_problems(recipe) if not p.environment] == []
    model: Any = load_model(recipe, attention="plain", context_length=16, all_logits=False).model
    told, ids = model.settings(task_options(recipe)), recipe.model.task_options["languages"]
    assert told["start_ids"] == [2, ids["eng_Latn"]]
    assert told["source_prefix"] == [ids["fra_Latn"]]
    assert len(told["source_suffix"]) == 1
    with_languages(folder, forced_bos_token_id=ids["fra_Latn"])
    recipe = composed(folder)
    assert recipe.model.task_options["target_language"] == "fra_Latn"
    assert [p for p in find_problems(recipe) if not p.environment] == []


def test_languages_that_a_model_does_not_have() -> None:
    with pytest.raises(RecipeError, match="no tokens that name a language") as caught:
        check_languages(TranslateOptions(target_language="de"))
    assert caught.value.fix == "remove model.task_options.target_language"


def test_marian_s_two_vocabularies_are_refused(tmp_path: Path) -> None:
    (tmp_path / "source.spm").write_bytes(b"\n")
    with pytest.raises(CheckpointError, match="one for answers") as caught:
        read_tokenizer(tmp_path)
    assert "tokenizer.json" in str(caught.value.fix)


def test_generating_with_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    _, folder = folder_of("bart", tmp_path / "bart")
    words = ["model=auto", "model.task=generate", f"checkpoint.path={folder}"]
    problem = find_problems(api.compose_recipe(None, words).recipe)[0]
    assert problem.fix == "model.task=translate"
