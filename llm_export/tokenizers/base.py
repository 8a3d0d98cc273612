"""The result type of every tokenizer reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_export.tokenizers.generation import GenerationSettings


@dataclass(frozen=True)
class SourceEncoder:
    """The original tokenizer library of the checkpoint, the reference for a conversion.

    Attributes:
        library: name for messages: sentencepiece, tiktoken.
        encode: text -> ids, special tokens in the text recognized, none added.
    """

    library: str
    encode: Callable[[str], list[int]]


@dataclass(frozen=True)
class TokenizerAssets:
    """The checkpoint's tokenizer, in the form that a bundle contains.

    Attributes:
        tokenizer_json: the text of a Hugging Face ``tokenizer.json``.
        chat_template: Jinja source, or None for a base model.
        tool_use_template: Jinja source for conversations with tools; None: ``chat_template``.
        bos_id: begin-of-sequence id, or None.
        eos_ids: ids that end a generation.
        add_bos: whether the model expects BOS before a raw prompt.
        special_tokens: name (bos_token, eos_token, ...) -> text, for the chat template.
        generation: how the checkpoint's authors generate with it.
        around: what its post-processor adds to a text beside BOS, in words; only programs that
            do not generate take it. None: nothing.
        source: encodes from the original file by its own library; None where
            ``tokenizer_json`` is itself the original, or nothing else reads the original.
    """

    tokenizer_json: str
    chat_template: str | None
    bos_id: int | None
    eos_ids: tuple[int, ...]
    add_bos: bool
    tool_use_template: str | None = field(default=None, kw_only=True)
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    around: str | None = field(default=None, kw_only=True)
    source: SourceEncoder | None = field(default=None, repr=False, compare=False)
