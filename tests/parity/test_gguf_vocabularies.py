"""The vocabulary of a GGUF file has the roles that llama.cpp gives it, or is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from gguf_vocabularies import CHAT, TOOLS, Odd, expected, odd_vocabularies, write
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer

from llm_export.checkpoints.gguf import GGUFCheckpoint
from llm_export.errors import CheckpointError
from llm_export.tokenizers.generation import SamplingSettings


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd=odd_vocabularies())
def test_as_llama_cpp_or_refused(odd: Odd, tmp_path_factory: pytest.TempPathFactory) -> None:
    _check(odd, tmp_path_factory.mktemp("odd"))


@pytest.mark.release
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd=odd_vocabularies())
def test_many_as_llama_cpp_or_refused(odd: Odd, tmp_path_factory: pytest.TempPathFactory) -> None:
    _check(odd, tmp_path_factory.mktemp("odd"))


def _check(odd: Odd, folder: Path) -> None:
    file, wanted = write(odd, folder / "m.gguf"), expected(odd)
    if wanted is None:
        with pytest.raises(CheckpointError, match=re.escape(str(file))):
            GGUFCheckpoint(file).tokenizer()
        return
    found = GGUFCheckpoint(file).tokenizer()
    assert (found.bos_id, found.add_bos) == (wanted.bos, wanted.adds_bos)
    assert dict(found.special_tokens) == wanted.named
    assert set(found.eos_ids) == wanted.ends
    added = json.loads(found.tokenizer_json)["added_tokens"]
    assert {t["content"]: t["special"] for t in added} == wanted.special
    tokenizer = Tokenizer.from_str(found.tokenizer_json)
    assert tokenizer.encode(odd.text, add_special_tokens=False).ids == wanted.ids
    _check_generation(odd, found.generation.sampling, found.generation.not_done)
    templates = [odd.meta.get(f"tokenizer.chat_template{name}") for name in ("", ".tool_use")]
    # Without a default, llama.cpp takes the one for tools for all conversations.
    assert found.chat_template == (templates[0] or templates[1])
    assert found.chat_template in (CHAT, TOOLS, None)
    assert found.tool_use_template == templates[1]


def _check_generation(odd: Odd, found: SamplingSettings, not_done: tuple[str, ...]) -> None:
    stated = {k.rpartition(".")[2]: v for k, v in odd.meta.items() if "general.sampling" in k}
    assert found.repetition_penalty == stated.get("penalty_repeat", 1.0)
    assert not_done == (("mirostat=2",) if stated.get("mirostat") else ())
    chooses = stated.keys() & {"temp", "top_k", "top_p", "min_p"}
    temperature = stated.get("temp", 1.0) if chooses else 0.0
    assert found.temperature == temperature
    if temperature:  # what is absent is as in generation_config.json, from which the keys come
        assert found.top_k == max(stated.get("top_k", 50), 0)
        assert found.top_p == stated.get("top_p", 1.0)
        assert found.min_p == stated.get("min_p", 0.0)
