"""What a GGUF file does not say of its tokens: which swallow white space, and which end an answer.

llama.cpp knows the former by the model's name and the latter by the tokens' texts, and so do the
chat templates that were written for it (``src/llama-vocab.cpp``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_ENDS = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    }
)  # fmt: skip
_KEEPS_SPACE = ("<unk>", "<s>", "<|endoftext|>")


def strips_after(meta: Mapping[str, Any], text: str, kind: int) -> bool:
    """Whether a token swallows the white space after it: Phi-3's special ones, but for three."""
    name = str(meta.get("general.name", "")).lower()
    if "phi-3" not in name and "phi3" not in name:
        return False
    special = kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) or text == "</s>"
    return special and text not in _KEEPS_SPACE


def answer_ends(tokens: Sequence[str], named: Sequence[int]) -> tuple[int, ...]:
    """Ids that end an answer: the file's own, in order, then those known by their text.

    Args:
        named: of the metadata's eos, eot and eom.
    """
    found = {text: i for i, text in enumerate(tokens) if text in _ENDS}
    ids = dict.fromkeys([*named, *sorted(found.values())])
    # In these formats the token ends a message, or is not used, and does not end the answer.
    calls = not found.keys().isdisjoint({"<|call|>", "<|calls|>"})
    if calls and not found.keys().isdisjoint({"<|return|>", "<|flush|>"}):
        ids.pop(found.get("<|end|>", -1), None)
    if "<|tool_response>" in found:
        ids.pop(found.get("</s>", -1), None)
    return tuple(ids)
