"""Folders whose files contradict each other are read as transformers reads them, or refused."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, note, settings
from odd_folders import CHAT, ROWS, Odd, odd_folders, write
from parity_tools import BAR, relative_error

from llm_export import api
from llm_export.bundle.manifest import SamplingEntry
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.errors import LlmExportError
from llm_export.models.detect import detect_model
from llm_export.pipeline.artifacts import Loaded, Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.verification.logits import eager_logits
from llm_export.stages.verification.source_check import TOOL
from llm_export.tokenizers.turn_end import turn_ends
from runtime_py.chat_template import ChatTemplate
from runtime_py.tokenizer import TextTokenizer

CONTEXT = 48  # past YaRN's and LongRoPE's original lengths
TEXTS = ["plain text, ünïcode", "<|start|>user\n hi <|end|> \n<|stop|> x<|image|>", "a <pad> b"]
MESSAGES = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."},
            {"role": "user", "content": "Why?"}]  # fmt: skip
# Every refusal names two of these: a file, a key, or a tensor.
PLACES = (
    "config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.json", "generation_config.json", "chat_template", "additional_chat_templates",
    "safetensors", "pytorch_model.bin", "embedding", "lm_head.weight", "tie_word_embeddings",
    "rope_scaling", "rope_parameters", "rope_theta", "num_key_value_heads", "num_attention_heads",
    "post-processor", "vocab_size", "model.embed_tokens.weight", "head_dim", "RoPE scaling",
    "sliding_attention", "full_attention", "runtime.context_length", "max_position_embeddings",
    "sliding_window", "hidden_act", "partial_rotary_factor", "self_attn",
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd=odd_folders())
def test_as_transformers_or_refused(odd: Odd, tmp_path_factory: pytest.TempPathFactory) -> None:
    _check(odd, tmp_path_factory.mktemp("odd"))


@pytest.mark.release
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd=odd_folders())
def test_many_as_transformers_or_refused(
    odd: Odd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _check(odd, tmp_path_factory.mktemp("odd"))


def _check(odd: Odd, folder: Path) -> str:
    write(odd, folder)
    theirs = _reference(odd, folder)
    try:
        loaded = _load(folder)
    except LlmExportError as error:
        note(str(error))
        if sum(place in str(error) for place in PLACES) < 2:
            raise AssertionError("the refusal names no two places") from error
        return "refused" if theirs else "refused by both"
    if theirs is None:  # transformers cannot load it
        return "no reference"
    model, tokenizer = theirs
    ids = torch.randint(0, 250, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    try:
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0]
    except RuntimeError as error:  # of families whose code rotates whole heads only
        note(f"transformers: {error}")
        return "no reference"
    assert relative_error(eager_logits(loaded.model, ids), expected) < BAR
    # For some models transformers replaces parts of tokenizer.json by code.
    if type(tokenizer) is transformers.TokenizersBackend:
        _check_tokens(loaded, tokenizer, folder)
    _check_generation(loaded, model, tokenizer)
    return "equal"


def _reference(odd: Odd, folder: Path) -> tuple[Any, Any] | None:
    logging.disable(logging.WARNING)
    config = folder / "config.json"
    text = config.read_text()
    # Plain weights, left-over settings: with them transformers quantizes, or asks for a package.
    body = {k: v for k, v in json.loads(text).items() if k != "quantization_config"}
    try:
        config.write_text(json.dumps(body))
        loader: Any = transformers.AutoModelForCausalLM
        model, info = loader.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # whatever its many classes raise
        note(f"transformers: {type(error).__name__}: {error}")
        return None
    finally:
        config.write_text(text)
        logging.disable(logging.NOTSET)
    if info["missing_keys"] or info["mismatched_keys"]:
        note(f"transformers: {info}")
        return None  # it makes up values, with a warning
    return model.eval(), tokenizer


@cache
def _recipe() -> Recipe:
    words = ["model=tiny", "verify=off", f"runtime.context_length={CONTEXT}",
             "runtime.prefill_length=16", "runtime.logits=all"]  # fmt: skip
    return api.compose_recipe(None, words).recipe


def _load(folder: Path) -> Loaded:
    source = CheckpointConfig(path=str(folder))
    recipe = replace(_recipe(), model=detect_model(source, CONTEXT), checkpoint=source)
    ctx = RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))
    return load(Start(), resolve(recipe), ctx)


def _check_tokens(loaded: Loaded, tokenizer: Any, folder: Path) -> None:
    assets = loaded.source.tokenizer
    file = folder / "bundled.json"
    file.write_text(assets.tokenizer_json)
    ours = TextTokenizer(file, bos_id=assets.bos_id, eos_ids=assets.eos_ids, add_bos=assets.add_bos)
    for text in TEXTS:
        expected = tokenizer(text, add_special_tokens=False).input_ids
        if max(expected) >= ROWS:  # beyond the embedding: transformers would fail
            continue
        assert ours.encode(text, raw=False) == expected, text
        raw = tokenizer(text).input_ids
        if raw[1:2] != raw[:1]:  # a text that begins with BOS gets no second one
            assert ours.encode(text) == raw, text
        decoded = tokenizer.decode(expected, skip_special_tokens=True)
        assert ours.decode(expected) == decoded, text
    there = {name: text for name, text in tokenizer.special_tokens_map.items()
             if tokenizer.convert_tokens_to_ids(text) < ROWS}  # fmt: skip
    assert dict(assets.special_tokens) == there
    if tokenizer.bos_token_id is not None and not assets.add_bos:
        assert assets.bos_id == tokenizer.bos_token_id
    if tokenizer.chat_template is None:
        assert assets.chat_template in (None, CHAT)  # CHAT: of a processor
        return
    assert assets.chat_template is not None
    expected = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    rendered = ChatTemplate(assets.chat_template, assets.special_tokens).render(MESSAGES)
    assert rendered == expected
    for_tools = assets.tool_use_template or assets.chat_template
    with_tool = tokenizer.apply_chat_template(
        MESSAGES, tools=[TOOL], tokenize=False, add_generation_prompt=True
    )
    template = ChatTemplate(for_tools, assets.special_tokens)
    assert template.render(MESSAGES, tools=[TOOL]) == with_tool
    assert (
        ours.encode(rendered, raw=False) == tokenizer(expected, add_special_tokens=False).input_ids
    )


def _check_generation(loaded: Loaded, model: Any, tokenizer: Any) -> None:
    assets, config = loaded.source.tokenizer, model.generation_config
    stated = config.eos_token_id
    ids = [] if stated is None else stated if isinstance(stated, list) else [stated]
    own = tokenizer.eos_token_id
    theirs = {*ids, *([] if own is None else [own])}
    extra = {
        *assets.generation.eos_ids,
        *turn_ends(assets).values(),
    }
    assert theirs <= set(assets.eos_ids) <= theirs | extra
    sampling = SamplingEntry(**vars(assets.generation.sampling))
    if not config.do_sample:
        assert sampling.temperature == 0
    else:
        defaults = config._get_default_generation_params()
        for key, off in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0), ("min_p", 0.0)):
            value = getattr(config, key)
            value = defaults.get(key) if value is None else value
            assert getattr(sampling, key) == (off if value is None else value)
    assert sampling.repetition_penalty == (config.repetition_penalty or 1.0)
    beams = config.num_beams or 1
    assert (f"num_beams={beams}" in assets.generation.not_done) == (beams != 1)


if __name__ == "__main__":  # how many folders end how: python tests/parity/test_odd_folders.py N
    import collections
    import sys
    import tempfile

    counts: collections.Counter[str] = collections.Counter()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"

    @settings(max_examples=int(sys.argv[1]), deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(odd=odd_folders())
    def count(odd: Odd) -> None:
        with tempfile.TemporaryDirectory() as place:
            counts[_check(odd, Path(place))] += 1

    count()
    print(dict(counts))
