"""What GGUF metadata states of its tokens, what llama.cpp adds to that, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.generation import SamplingSettings
from llm_export.tokenizers.gguf import tokenizer_from_metadata
from llm_export.tokenizers.gguf_roles import read_roles, strips_after

QWEN = ["a", "b", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>",
        "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"]  # fmt: skip
BASE: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": QWEN,
    "tokenizer.ggml.token_type": [1, 1, *[3] * 9], "tokenizer.ggml.merges": [],
    "tokenizer.ggml.eos_token_id": 4,
}  # fmt: skip


def read(**changes: Any) -> TokenizerAssets:
    """BASE with changes: of ``tokenizer.ggml``, or with ``__`` for a dot the whole key."""
    named = {k.replace("__", ".") if "__" in k else f"tokenizer.ggml.{k}": v
             for k, v in changes.items()}  # fmt: skip
    return tokenizer_from_metadata({**BASE, **named}, "here")


def test_a_file_is_complete_where_the_next_one_would_begin() -> None:
    """As in Qwen2.5-Coder: its own EOS first, then those known by their text."""
    assert read().eos_ids == (4, 2, 8, 9, 10)
    assert read(fim_pad_token_id=0, fim_rep_token_id=1).eos_ids == (4, 2, 0, 1, 10)
    assert read(fim_sep_token_id=99).eos_ids == (4, 2, 8, 9, 10)


def test_tokens_that_end_a_message_do_not_end_the_answer() -> None:
    def ends(*tokens: str, eos: int = 1) -> tuple[int, ...]:
        return read_roles({"tokenizer.ggml.eos_token_id": eos}, tokens, [3] * len(tokens), "").ends

    assert ends("a", "<|im_end|>", "<|endoftext|>", eos=2) == (2, 1)
    assert ends("<|end|>", "<|return|>", "<|call|>") == (1, 2)
    assert ends("</s>", "<turn|>", "<|tool_response>") == (1, 2)


def test_ends_of_qwen3_5() -> None:
    """Ids of the published vocabulary; a file states <|im_end|>, llama.cpp ends at the others."""
    tokens = [f"t{i}" for i in range(248_077)]
    tokens[248044:248047] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens[248060:248066] = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
                             "<|repo_name|>", "<|file_sep|>"]  # fmt: skip
    roles = read_roles({"tokenizer.ggml.eos_token_id": 248046}, tokens, [1] * len(tokens), "")
    assert roles.ends == (248046, 248044, 248063, 248064, 248065)


def test_tokens_that_swallow_white_space() -> None:
    phi3 = {"general.name": "Phi-3-mini-4k-instruct"}
    assert strips_after(phi3, "<|user|>", 3)
    assert strips_after(phi3, "</s>", 1)
    assert not strips_after(phi3, "<|endoftext|>", 3)
    assert not strips_after(phi3, "word", 1)
    assert not strips_after({"general.name": "Llama"}, "<|user|>", 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eos_token_id": "4"}, r"tokenizer\.ggml\.eos_token_id is no token id: '4'"),
        ({"add_bos_token": True}, "has add_bos_token, and no bos_token_id of its vocabulary"),
        ({"add_bos_token": True, "bos_token_id": 99}, "and no bos_token_id of its vocabulary"),
        ({"add_eos_token": True}, "has add_eos_token: a runtime puts one token before a text"),
        ({"tokens": ["a", "b", "a", *QWEN[3:]]}, "has the token 'a' twice, as 0 and 2"),
        ({"token_type": [1]}, r"11 tokens and 1 values of 'tokenizer\.ggml\.token_type'"),
        ({"merges": ["a x"]}, "the merges of the GGUF file are not of its vocabulary"),
        ({"merges": ["ab"]}, "has one part: 'ab'"),
        ({"tokenizer__chat_template": 1}, "the chat template is no text: 1"),
        ({"general__sampling__top_p": 2.0}, r"top_p=2\.0 is out of range"),
        ({"general__sampling__temp": "hot"}, "temperature='hot' is out of range"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        read(**changes)


def test_sampling_as_in_a_generation_config() -> None:
    assert read().generation.sampling == SamplingSettings()
    found = read(general__sampling__temp=0.6000000238, general__sampling__top_k=-1).generation
    assert found.sampling == SamplingSettings(temperature=0.6, top_k=0)
    assert found.not_done == ()
    greedy = read(general__sampling__temp=0.0, general__sampling__top_p=0.9).generation
    assert greedy.sampling == SamplingSettings()
    only = read(general__sampling__penalty_repeat=1.1000000238).generation.sampling
    assert only == SamplingSettings(repetition_penalty=1.1)


def test_sampling_that_no_runtime_does_is_named() -> None:
    names = {"mirostat": 2, "mirostat_tau": 5.0, "xtc_probability": 0.0, "xtc_threshold": 0.1,
             "sequence": "top_k;temp", "penalty_last_n": 64, "penalty_repeat": 1.1}  # fmt: skip
    keys = {f"general__sampling__{name}": value for name, value in names.items()}
    found = read(**keys, suppress_tokens=[3]).generation.not_done
    assert found == ("mirostat=2", "sequence=top_k;temp", "penalty_last_n=64",
                     "suppress_tokens=[3]")  # fmt: skip
    del keys["general__sampling__penalty_repeat"]
    assert "penalty_last_n=64" not in read(**keys).generation.not_done


def test_chat_templates_with_names() -> None:
    both = read(tokenizer__chat_template="x", tokenizer__chat_template__tool_use="y")
    assert (both.chat_template, both.tool_use_template) == ("x", "y")
    alone = read(tokenizer__chat_template__tool_use="y")
    assert (alone.chat_template, alone.tool_use_template) == ("y", "y")
    assert read(tokenizer__chat_template="").chat_template is None


SPM: dict[str, Any] = {
    "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "▁a"],
    "tokenizer.ggml.token_type": [2, 3, 3, 1, 1],
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -2.0, -1.0],
}  # fmt: skip
FURTHER = (
    "tokenizer.ggml.bos_token_id", "tokenizer.ggml.fim_pad_token_id", "general.name",
    "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template",
    "tokenizer.ggml.suppress_tokens", "general.sampling.temp", "general.sampling.top_k",
    "general.sampling.mirostat", "tokenizer.ggml.remove_extra_whitespaces",
)  # fmt: skip


def refusal(meta: dict[str, Any]) -> str:
    try:
        tokenizer_from_metadata(meta, "here")
    except CheckpointError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("base", [BASE, SPM], ids=["bytes", "sentencepiece"])
def test_a_value_of_another_type_is_read_or_refused(base: dict[str, Any]) -> None:
    odd: tuple[Any, ...] = (
        1,
        -1,
        2**40,
        1.5,
        float("nan"),
        "x",
        True,
        [],
        [1],
        ["x"],
        [[1]],
        ["a"] * 20,
    )
    said = [refusal({**base, key: bad}) for key in (*base, *FURTHER) for bad in odd]
    assert all("here" in text for text in said if text)
    assert sum(map(bool, said)) > 100
