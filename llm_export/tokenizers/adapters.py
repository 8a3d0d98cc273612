"""The tokenizer of a LoRA adapter's folder, next to its base model's.

PEFT's trainers save the tokenizer with the adapter. Its chat template and its end-of-sequence token
are those that the adapter was trained with; how to sample is still the base model's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.folder import has_vocabulary, read_tokenizer
from llm_export.tokenizers.hf import with_folder_settings
from llm_export.tokenizers.special_tokens import has_settings, read_settings


def of_adapter(base: TokenizerAssets, folder: Path) -> TokenizerAssets:
    """The tokenizer to use with the adapter.

    Ids that end a generation are those of the base model's generation_config.json, as in
    transformers, and the end-of-sequence token of the adapter's tokenizer.

    Raises:
        CheckpointError: the adapter's vocabulary gives other ids than the base model's.
    """
    if has_vocabulary(folder):
        own = read_tokenizer(folder)
    elif has_settings(folder):
        own = with_folder_settings(base.tokenizer_json, read_settings(folder), str(folder))
        own = replace(
            own, special_tokens={**base.special_tokens, **own.special_tokens}, source=base.source,
            bos_id=base.bos_id if own.bos_id is None else own.bos_id, add_bos=base.add_bos,
        )  # fmt: skip
    else:
        return base
    others = _vocabulary(own)
    moved = [text for text, i in _vocabulary(base).items() if others.get(text) != i]
    if moved:
        raise CheckpointError(
            "the adapter brings a tokenizer with another vocabulary than its base model's, which "
            f"has other ids for {', '.join(map(repr, sorted(moved)[:3]))}",
            where=str(folder / "tokenizer.json"),
            fix="merge it with PEFT (merge_and_unload), and save model and tokenizer together",
        )
    ends = (*base.generation.eos_ids, *(own.eos_ids or base.eos_ids))
    templates = own if own.chat_template else base
    return replace(
        own,
        chat_template=templates.chat_template,
        tool_use_template=templates.tool_use_template,
        eos_ids=tuple(dict.fromkeys(ends)),
        generation=base.generation,
    )


def _vocabulary(assets: TokenizerAssets) -> dict[str, int]:
    return Tokenizer.from_str(assets.tokenizer_json).get_vocab(with_added_tokens=True)
