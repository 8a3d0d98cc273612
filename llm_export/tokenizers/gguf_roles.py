"""The roles of a GGUF file's tokens, as llama.cpp has them (``src/llama-vocab.cpp``).

Some are stated in the metadata. Others llama.cpp knows by a token's text or by the model's name:
which tokens end an answer, which are special whatever their stated type, and which swallow the
white space after them. The chat templates that were written for it rely on that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_export.errors import CheckpointError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Types of tokens in ``tokenizer.ggml.token_type``."""

# llama.cpp also has 11 as BOS and EOS of byte-level BPE: an id of Falcon's vocabulary, not taken.
_DEFAULTS = {"llama": {"bos": 1, "eos": 2, "unknown": 0}}
_STATED = ("bos", "eos", "eot", "eom", "unknown", "padding")
_ENDS = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
        "<｜end▁of▁sentence｜>", "[e~[",
    }
)  # fmt: skip
# Fill-in-the-middle: role -> texts by which a token is known if the metadata does not state one.
_INFILL: Mapping[str, tuple[str, ...]] = {
    "fim_pre": ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>",
                "▁<PRE>", "<|code_prefix|>", "<|prefix|>"),
    "fim_suf": ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>",
                "▁<SUF>", "<|code_suffix|>", "<|suffix|>"),
    "fim_mid": ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
                "▁<MID>", "<|code_middle|>", "<|middle|>"),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}  # fmt: skip
_FORMER = {"fim_pre": "prefix", "fim_suf": "suffix", "fim_mid": "middle"}
"""What files of before 2024-10 call them."""
# Where one of these is generated, the file is complete.
_INFILL_ENDS = ("fim_pad", "fim_rep", "fim_sep")
_SHOWN = frozenset({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"})
"""Part of gpt-oss's answers."""
_KEEPS_SPACE = ("<unk>", "<s>", "<|endoftext|>")


@dataclass(frozen=True)
class Roles:
    """
    Attributes:
        ids: bos, eos, eot, eom, unknown, padding -> id, of those that the model has.
        ends: ids that end an answer: the metadata's own, in order, then those known otherwise.
        kinds: the type of each token.
    """

    ids: Mapping[str, int]
    ends: tuple[int, ...]
    kinds: tuple[int, ...]


def read_roles(
    meta: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int], where: str
) -> Roles:
    """The roles that the metadata states, and those that it leaves to the texts of the tokens.

    Raises:
        CheckpointError: an id is no number.
    """
    ids = special_ids(meta, tokens, where)
    place = {text: i for i, text in enumerate(tokens)}
    known = {text: place[text] for text in _ENDS if text in place}
    infill = {role: _infill(meta, role, place, where) for role in _INFILL}
    kinds = list(types)
    by_text = [i for i, stated in infill.values() if i is not None and not stated]
    for i in (*known.values(), *by_text):
        kinds[i] = CONTROL
    for text in _SHOWN & place.keys():
        kinds[place[text]] = USER_DEFINED
    named = [ids[role] for role in ("eos", "eot", "eom") if role in ids]
    ends = dict.fromkeys([*named, *sorted(known.values())])
    files = (infill[role][0] for role in _INFILL_ENDS)
    ends |= dict.fromkeys(i for i in files if i is not None)
    for text, kind in _not_ends(set(known)):
        ends.pop(place[text], None)
        kinds[place[text]] = kind
    return Roles(ids, tuple(ends), tuple(kinds))


def special_ids(meta: Mapping[str, Any], tokens: Sequence[str], where: str) -> dict[str, int]:
    """Role -> id. An id outside the vocabulary is as if it were not stated.

    Raises:
        CheckpointError: an id is no number.
    """
    defaults = _DEFAULTS.get(str(meta.get("tokenizer.ggml.model")), {})
    found = {}
    for role in _STATED:
        stated = _stated(meta, role, len(tokens), where)
        if stated is None and defaults.get(role, len(tokens)) < len(tokens):
            stated = defaults[role]
        if stated is not None:
            found[role] = stated
    return found


def strips_after(meta: Mapping[str, Any], text: str, kind: int) -> bool:
    """Whether a token swallows the white space after it: Phi-3's special ones, but for three."""
    name = str(meta.get("general.name", "")).lower()
    if "phi-3" not in name and "phi3" not in name:
        return False
    special = kind in (UNKNOWN, CONTROL, USER_DEFINED) or text == "</s>"
    return special and text not in _KEEPS_SPACE


def _infill(
    meta: Mapping[str, Any], role: str, place: Mapping[str, int], where: str
) -> tuple[int | None, bool]:
    """Id of a token for fill-in-the-middle, and whether the metadata states it."""
    for name in filter(None, (role, _FORMER.get(role))):
        stated = _stated(meta, name, len(place), where)
        if stated is not None:
            return stated, True
    return next((place[text] for text in _INFILL[role] if text in place), None), False


def _stated(meta: Mapping[str, Any], role: str, count: int, where: str) -> int | None:
    key = f"tokenizer.ggml.{role}_token_id"
    value = meta.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{key} is no token id: {value!r}", where=where)
    return value if 0 <= value < count else None


def _not_ends(texts: set[str]) -> list[tuple[str, int]]:
    """Tokens that end a message, or are not used, in formats that these texts give away; and the
    types that they have there."""
    found = []
    calls = not texts.isdisjoint({"<|call|>", "<|calls|>"})
    if calls and not texts.isdisjoint({"<|return|>", "<|flush|>"}) and "<|end|>" in texts:
        found.append(("<|end|>", USER_DEFINED))
    if {"<|tool_response>", "</s>"} <= texts:
        found.append(("</s>", NORMAL))
    return found
