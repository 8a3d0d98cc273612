"""The split regex and special tokens that publishers' code adds to a tiktoken rank file.

Llama 3 and 4: https://github.com/meta-llama/llama-models (``models/llama3/tokenizer.py`` and
``models/llama4/tokenizer.py``). Qwen 1: ``tokenization_qwen.py`` in its weights repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.tokenizers import pretokenizer_regexes as splits


@dataclass(frozen=True)
class Layout:
    """
    Attributes:
        name: the model family, for messages.
        split: regular expression; merges stay within one match.
        special_tokens: in the order of their ids, which follow the ranks.
        bos: text of the begin-of-sequence token, or None.
        eos: texts of the tokens that end a generation; the first is end-of-sequence.
        pad: text of the padding token, or None.
        nfc: whether text is normalized to Unicode NFC first.
    """

    name: str
    split: str
    special_tokens: Sequence[str]
    bos: str | None
    eos: tuple[str, ...]
    pad: str | None = None
    nfc: bool = False


def _reserved(start: int, stop: int, prefix: str = "") -> list[str]:
    return [f"<|{prefix}reserved_special_token_{i}|>" for i in range(start, stop)]


LLAMA3 = Layout(
    name="Llama 3",
    split=splits.LLAMA3,
    special_tokens=(
        "<|begin_of_text|>", "<|end_of_text|>", *_reserved(0, 2), "<|finetune_right_pad_id|>",
        "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
        "<|python_tag|>", "<|image|>", *_reserved(2, 246),
    ),
    bos="<|begin_of_text|>",
    eos=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    pad="<|finetune_right_pad_id|>",
)  # fmt: skip

LLAMA4 = Layout(
    name="Llama 4",
    split=splits.LLAMA4,
    special_tokens=(
        "<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>",
        "<|fim_suffix|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>",
        *_reserved(0, 6, "text_post_train_"), "<|python_start|>", "<|python_end|>",
        "<|finetune_right_pad|>", *_reserved(8, 69, "text_post_train_"),
        "<|image_start|>", "<|image_end|>", *_reserved(0, 2, "vision_"), "<|tile_x_separator|>",
        "<|tile_y_separator|>", *_reserved(2, 6, "vision_"), "<|image|>",
        *_reserved(6, 7, "vision_"), "<|patch|>", *_reserved(7, 1048, "vision_"),
        *_reserved(0, 8, "reasoning_"), "<|reasoning_thinking_start|>",
        "<|reasoning_thinking_end|>", *_reserved(0, 904),
    ),
    bos="<|begin_of_text|>",
    eos=("<|end_of_text|>", "<|eom|>", "<|eot|>"),
    pad="<|finetune_right_pad|>",
)  # fmt: skip

QWEN1 = Layout(
    name="Qwen 1",
    split=splits.QWEN2,
    special_tokens=(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205)),
    ),
    bos=None,
    eos=("<|endoftext|>", "<|im_end|>"),
    nfc=True,
)  # fmt: skip

LAYOUTS = {128_000: LLAMA3, 200_000: LLAMA4, 151_643: QWEN1}
"""Number of ranks -> layout."""
