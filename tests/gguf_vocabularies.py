"""GGUF vocabularies whose metadata leaves out, repeats or contradicts, and what llama.cpp makes of
them.

``expected`` puts the rules of llama.cpp (``src/llama-vocab.cpp``, ``common/chat.cpp``) into words
of its own; it shares nothing with the reader. It leaves one of them out: id 11 as BOS and EOS of
any byte-level vocabulary that states none, which is right for Falcon alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
EOT = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
       "<EOT>", "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"]  # fmt: skip
OTHER_ENDS = ["<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "<|eom_id|>", "[EOS]",
              "<eos>", "<turn|>", "<|tool_response>", "[e~["]  # fmt: skip
INFILL = {
    "fim_pre": ["<|fim_prefix|>", "<fim_prefix>", "<PRE>", "<|code_prefix|>"],
    "fim_suf": ["<|fim_suffix|>", "<fim-suffix>", "<SUF>", "<|suffix|>"],
    "fim_mid": ["<|fim_middle|>", "<fim_middle>", "<MID>", "<|middle|>"],
    "fim_pad": ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
    "fim_rep": ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    "fim_sep": ["<|file_sep|>"],
}
GPT_OSS = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"]
PLAIN = ["<|user|>", "<unk>", "<s>", "<tag>"]
IDS = ("bos", "eos", "eot", "eom", "unknown", "padding", *INFILL)
BOS_BY_NAME = {"llama-bpe": True, "tekken": True, "falcon3": True, "qwen2": False, "gpt-2": False,
               "smollm": False, "deepseek-v3": False}  # fmt: skip
TOOLS, CHAT = "{{ tools }}{{ messages }}", "{{ messages }}"


@dataclass(frozen=True)
class Odd:
    """Metadata of a GGUF file, of which ``special`` are the first tokens, and a text."""

    settings: dict[str, Any]
    special: list[str]
    types: list[int] | None
    surplus: int
    text: str

    @property
    def meta(self) -> dict[str, Any]:
        spm = self.settings["tokenizer.ggml.model"] == "llama"
        tokens = [*self.special, *(SPM if spm else BYTES)]
        meta = {**self.settings, "tokenizer.ggml.tokens": tokens}
        if self.types is not None:
            ordinary = [NORMAL] * (len(tokens) - len(self.special) + self.surplus)
            meta[TYPES] = self.types + ordinary
        if spm:
            meta["tokenizer.ggml.scores"] = [-float(i) for i in range(len(tokens))]
        else:
            meta["tokenizer.ggml.merges"] = ["ÿ ÿ"]
        return meta


TYPES = "tokenizer.ggml.token_type"
SPM = ["▁", "\n", "é", *map(chr, range(33, 127))]
BYTES = [*sorted(ByteLevel.alphabet()), "ÿÿ"]  # a merge that no text needs


@st.composite
def odd_vocabularies(draw: st.DrawFn) -> Odd:
    spm = draw(st.booleans())
    special = draw(st.lists(st.sampled_from(EOT + OTHER_ENDS), unique=True, max_size=6))
    special += draw(st.lists(st.sampled_from(GPT_OSS + PLAIN), unique=True, max_size=4))
    for texts in INFILL.values():  # of several llama.cpp takes any
        special += draw(st.lists(st.sampled_from(texts), max_size=1))
    special += draw(st.sampled_from([[], [], [], [""], ["<tag>"]]))
    special = draw(st.permutations(special))
    kinds = st.sampled_from([NORMAL, CONTROL, CONTROL, USER_DEFINED, UNKNOWN, UNUSED])
    types = [draw(kinds) for _ in special] if draw(st.integers(0, 9)) else None
    meta: dict[str, Any] = {"tokenizer.ggml.model": "llama" if spm else "gpt2"}
    if not spm:
        meta["tokenizer.ggml.pre"] = draw(st.sampled_from(sorted(BOS_BY_NAME)))
    name = draw(st.sampled_from(["", "Tiny", "Phi-3 mini", "my-PHI3"]))
    meta |= {"general.name": name} if name else {}
    for role in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=6)):
        inside = st.integers(0, max(len(special) - 1, 0))
        meta[f"tokenizer.ggml.{role}_token_id"] = draw(inside | st.just(100_000))
    for flag in ("add_bos_token", "add_space_prefix"):
        meta |= {f"tokenizer.ggml.{flag}": v for v in draw(st.lists(st.booleans(), max_size=1))}
    for flag in ("add_eos_token", "add_sep_token"):
        if draw(st.integers(0, 9)) == 0:
            meta[f"tokenizer.ggml.{flag}"] = draw(st.booleans())
    meta |= draw(st.fixed_dictionaries({}, optional={
        "tokenizer.chat_template": st.just(CHAT),
        "tokenizer.chat_template.tool_use": st.just(TOOLS),
        "general.sampling.temp": st.sampled_from([0.0, 0.6, 1.0]),
        "general.sampling.top_k": st.sampled_from([-1, 0, 20]),
        "general.sampling.top_p": st.sampled_from([0.95, 1.0]),
        "general.sampling.min_p": st.sampled_from([0.0, 0.05]),
        "general.sampling.penalty_repeat": st.sampled_from([1.0, 1.05]),
        "general.sampling.mirostat": st.sampled_from([0, 2]),
    }))  # fmt: skip
    parts = st.sampled_from([t for t in special if t] + ["a", " ", "b ", "\n", " <x>", "é"])
    text = "".join(draw(st.lists(parts, max_size=8)))
    return Odd(meta, list(special), types, draw(st.sampled_from([0, 0, 0, 2])), text)


def write(odd: Odd, path: Path) -> Path:
    w = gguf.GGUFWriter(path, "llama")
    add: dict[type, Any] = {
        str: w.add_string,
        bool: w.add_bool,
        float: w.add_float32,
        list: w.add_array,
    }
    for key, value in odd.meta.items():
        if type(value) is int:
            (w.add_int32 if "sampling" in key else w.add_uint32)(key, value)
        else:
            add[type(value)](key, value)
    w.add_tensor("token_embd.weight", np.zeros((2, 4), dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


@dataclass(frozen=True)
class Expected:
    bos: int | None
    adds_bos: bool
    named: dict[str, str]
    ends: set[int]
    special: dict[str, bool]
    """Text that is found in any text -> whether answers leave it out."""
    ids: list[int]


def expected(odd: Odd) -> Expected | None:
    """None: llama.cpp refuses the file, or adds tokens after a text, which it does not do for a
    model that generates."""
    meta = odd.meta
    texts = [t or f"[EMPTY_{i}]" for i, t in enumerate(meta["tokenizer.ggml.tokens"])]
    if len(set(texts)) < len(texts) or _states(meta, "add_eos") or _states(meta, "add_sep"):
        return None
    spm = meta["tokenizer.ggml.model"] == "llama"
    attributes = {i: {meta[TYPES][i] if TYPES in meta else NORMAL} for i in range(len(texts))}
    usual = {"bos": 1, "eos": 2, "unknown": 0} if spm else {}
    role: dict[str, int | None] = {}
    for name in IDS:
        stated = meta.get(f"tokenizer.ggml.{name}_token_id", len(texts))
        role[name] = stated if stated < len(texts) else usual.get(name)
    adds = meta.get("tokenizer.ggml.add_bos_token")
    if adds and role["bos"] is None:
        return None
    if adds is None:
        adds = spm or BOS_BY_NAME[meta["tokenizer.ggml.pre"]]

    # Roles that texts give away make a token a control token, whatever the file calls it.
    ends = set()
    for i, text in enumerate(texts):
        if text in (*EOT, *OTHER_ENDS):
            ends.add(i)
            attributes[i].add(CONTROL)
        for name, candidates in INFILL.items():
            if role[name] is None and text in candidates:
                role[name] = i
                attributes[i].add(CONTROL)
        if text in GPT_OSS:
            attributes[i] = {USER_DEFINED}
    stops = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
    named = (role[name] for name in stops)
    ends |= {i for i in named if i is not None}
    at = {text: i for i, text in enumerate(texts)}
    there = {texts[i] for i in ends}
    harmony = "<|return|>" in there and there & {"<|call|>", "<|calls|>"}
    solar = "<|flush|>" in there and there & {"<|call|>", "<|calls|>"}
    if (harmony or solar) and "<|end|>" in there:
        ends.remove(at["<|end|>"])
        attributes[at["<|end|>"]] = {USER_DEFINED}
    if {"<|tool_response>", "</s>"} <= there:
        ends.remove(at["</s>"])
        attributes[at["</s>"]] = {NORMAL}

    found = {t: i for t, i in at.items() if attributes[i] & {CONTROL, USER_DEFINED, UNKNOWN}}
    shown = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
    return Expected(
        bos=role["bos"],
        adds_bos=bool(adds) and role["bos"] is not None,
        named={f"{shown[n]}_token": texts[i] for n, i in role.items()
               if n in shown and i is not None},
        ends=ends,
        special={t: bool(attributes[i] & {CONTROL, UNKNOWN}) for t, i in found.items()},
        ids=_encoded(odd, texts, found, spm),
    )  # fmt: skip


def _states(meta: dict[str, Any], name: str) -> bool:
    return bool(meta.get(f"tokenizer.ggml.{name}_token"))


def _encoded(odd: Odd, texts: list[str], found: dict[str, int], spm: bool) -> list[int]:
    """Special tokens first, the longest first; the rest character by character, or byte by byte."""
    at = {text: i for i, text in enumerate(texts)}
    phi3 = re.search("phi-?3", odd.meta.get("general.name", "").lower()) is not None
    prefix = spm and odd.meta.get("tokenizer.ggml.add_space_prefix", True)
    pattern = "|".join(re.escape(t) for t in sorted(found, key=len, reverse=True)) or "(?!)"
    ids: list[int] = []
    rest, match = odd.text, None
    while rest:
        match = re.search(pattern, rest)
        before = rest[: match.start()] if match else rest
        if before and spm:
            ids += [at[c] for c in (" " * prefix + before).replace(" ", "▁")]
        elif before:
            pieces = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(before)
            ids += [at[c] for piece, _ in pieces for c in piece]
        if match is None:
            break
        ids.append(found[match[0]])
        rest = rest[match.end() :]
        if phi3 and match[0] not in ("<unk>", "<s>", "<|endoftext|>"):
            rest = rest.lstrip(" \t\n\v\f\r")
    return ids
