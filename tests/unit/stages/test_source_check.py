"""A checkpoint is read a second time, by transformers; what differs is found."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import pytest
from family_models import settings
from lora_models import save_adapter
from parity_tools import recipe_for, sample_ids
from torch import Tensor

from llm_export.bundle.proof import SourceComparison
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import OptionalCheck, Recipe
from llm_export.errors import VerificationError
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Source
from llm_export.stages.verification import source_check
from llm_export.stages.verification.logits import eager_logits
from llm_export.stages.verification.source_check import compare_source
from llm_export.tokenizers.base import SourceEncoder

IDS = sample_ids(40)
SHORT = ["runtime.context_length=64", "runtime.prefill_length=16"]
Change = Callable[[Source], Source]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save(hf_models.llama(num_hidden_layers=1), tmp_path_factory.mktemp("m") / "m")


def read(recipe: Recipe) -> tuple[Source, Tensor]:
    """The recipe's checkpoint, and the float32 model's logits from the eighth position on."""
    loaded = load_model(recipe, attention="cacheless", context_length=64, all_logits=True)
    checkpoint, tokenizer = loaded.checkpoint, loaded.checkpoint.tokenizer()
    source = Source(checkpoint, tokenizer, loaded.model.metadata, loaded.coverage.parameters, {})
    return source, eager_logits(loaded.model, IDS)[7:]


def compared(recipe: Recipe, how: OptionalCheck = OptionalCheck.auto) -> SourceComparison | None:
    stated = replace(recipe, verify=replace(recipe.verify, source=how))
    return compare_source(stated, *_with_ids(read(stated)))


def _with_ids(found: tuple[Source, Tensor]) -> tuple[Source, list[int], Callable[[], Tensor]]:
    return found[0], IDS, lambda: found[1]


def never() -> Tensor:
    raise AssertionError("no logits are needed")


def test_a_folder_is_read_alike(folder: Path) -> None:
    found = compared(recipe_for(folder, *SHORT), OptionalCheck.require)
    assert found is not None
    assert (found.positions, found.chats, dict(found.skipped)) == (33, 4, {})
    assert found.texts > 20
    assert found.error is not None
    assert found.error < 1e-5
    assert "reads the same: logits of 33 positions" in str(found)
    assert "token ids of" in str(found)


def test_a_published_name_of_rope_is_read_as_it_was_trained(tmp_path: Path) -> None:
    """Transformers would rotate whole heads."""
    reference = hf_models.build("lfm3", **settings("lfm3", "all kinds of layers"))
    folder = hf_models.save(reference, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"]["full_attention"]["rope_type"] = "default"
    (folder / "config.json").write_text(json.dumps(config))
    found = compared(recipe_for(folder, *SHORT), OptionalCheck.require)
    assert found is not None
    assert found.error is not None
    assert found.error < 1e-5


def test_an_adapter_is_merged_there_too(folder: Path, tmp_path: Path) -> None:
    save_adapter(hf_models.llama(num_hidden_layers=1), tmp_path / "lora", r=2)
    recipe = recipe_for(folder, *SHORT)
    adapted = replace(recipe.checkpoint, adapter=str(tmp_path / "lora"))
    found = compared(replace(recipe, checkpoint=adapted))
    assert found is not None
    assert found.error is not None
    assert found.error < 1e-5
    plain = read(recipe)
    with pytest.raises(VerificationError, match=r"logits differ by .* of the largest, most at"):
        compare_source(replace(recipe, checkpoint=adapted), *_with_ids(plain))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos_ids": (5,)}, r"its end-of-sequence id 319 .* is not among ours, \[5\]"),
        ({"chat_template": None}, "only it has a chat template"),
        ({"chat_template": "{{ messages }}"}, "a conversation of 1 messages renders as '"),
        ({"chat_template": "{% if %}"}, "of 1 messages with a tool renders as '.*', ours as None"),
        (
            {"tool_use_template": "{{ tools }}"},
            "of it: a conversation of 1 messages with a tool renders",
        ),
    ],
)
def test_what_is_read_otherwise_is_named(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    recipe = recipe_for(folder, *SHORT)
    source, logits = read(recipe)
    other = replace(source, tokenizer=replace(source.tokenizer, **changes))
    with pytest.raises(VerificationError, match=message) as caught:
        compare_source(recipe, other, IDS, lambda: logits)
    assert caught.value.where == str(folder)
    assert "verify.source=skip" in (caught.value.fix or "")


def test_a_processors_template_is_not_the_tokenizers(folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(folder, tmp_path / "m"))
    config = json.loads((moved / "tokenizer_config.json").read_text())
    template = {"chat_template": config.pop("chat_template")}
    (moved / "tokenizer_config.json").write_text(json.dumps(config))
    (moved / "chat_template.json").write_text(json.dumps(template))
    found = compared(recipe_for(moved, *SHORT))
    assert found is not None
    assert found.skipped == {"chats": "the chat template is the processor's (chat_template.json)"}


def test_token_ids_are_compared(folder: Path) -> None:
    recipe = recipe_for(folder, *SHORT)
    source, logits = read(recipe)
    tokenizer = json.loads(source.tokenizer.tokenizer_json)
    tokenizer["normalizer"] = {"type": "Lowercase"}
    other = replace(source.tokenizer, tokenizer_json=json.dumps(tokenizer))
    with pytest.raises(VerificationError, match="the tokenizer differs from the checkpoint's on"):
        compare_source(recipe, replace(source, tokenizer=other), IDS, lambda: logits)


def test_what_cannot_be_compared_is_said_or_required(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_check, "available_memory", lambda: 1000)
    found = compared(recipe_for(folder, *SHORT))
    assert found is not None
    assert re.fullmatch(r"transformers' model needs \d+\.\d [kM]B of memory, 1\.0 kB are free",
                        found.skipped["positions"])  # fmt: skip
    assert (found.positions, found.chats) == (0, 4)
    with pytest.raises(VerificationError, match="positions not compared: transformers' model"):
        compared(recipe_for(folder, *SHORT), OptionalCheck.require)


def test_a_converted_vocabulary_has_its_own_reference(folder: Path) -> None:
    recipe = recipe_for(folder, *SHORT)
    source, logits = read(recipe)
    own = SourceEncoder("sentencepiece", lambda text: [])
    other = replace(source, tokenizer=replace(source.tokenizer, source=own))
    found = compare_source(recipe, other, IDS, lambda: logits)
    assert found is not None
    assert (found.texts, found.chats) == (0, 4)
    assert found.skipped["texts"].startswith("sentencepiece itself is the reference")


def test_frequencies_that_change_with_the_length(folder: Path, tmp_path: Path) -> None:
    """There, a short text is always read with the short factors; a program has one set."""
    scaling = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8,
               "long_factor": [4.0] * 8, "original_max_position_embeddings": 48}  # fmt: skip
    model = hf_models.llama(num_hidden_layers=1, rope_parameters=scaling)
    long = hf_models.save(model, tmp_path / "m")
    found = compared(recipe_for(long, *SHORT))
    assert found is not None
    assert found.skipped["positions"].startswith("RoPE 'longrope' has other frequencies in")
    within = ["runtime.context_length=48", "runtime.prefill_length=16"]
    found = compared(recipe_for(long, *within))
    assert found is not None
    assert found.positions == 33


def test_where_there_is_nothing_to_compare(folder: Path) -> None:
    assert compared(recipe_for(folder, *SHORT), OptionalCheck.skip) is None
    recipe = recipe_for(folder, *SHORT)
    random = replace(recipe.checkpoint, path=None, random_seed=0)
    shapes = {"embed.weight": (320, 64)}
    source = replace(read(recipe)[0], checkpoint=open_checkpoint(random, shapes))
    nothing = compare_source(replace(recipe, checkpoint=random), source, IDS, never)
    assert nothing is None


def test_without_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(recipe_for(folder, *SHORT))
    monkeypatch.setattr("llm_export.models.hf.config.OLDEST", (99, 0))
    said = compare_source(recipe_for(folder, *SHORT), *_with_ids(found))
    assert str(said).startswith("not compared with transformers: the generic tier needs transf")
