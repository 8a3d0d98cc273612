"""The texts of the tokens that end a generation."""

from __future__ import annotations

from llm_export.tokenizers.base import TokenizerAssets


def stop_strings(tokens: TokenizerAssets) -> tuple[str, ...]:
    """Text of each EOS id in their order; an id that the tokenizer does not have has none."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokens.tokenizer_json)
    texts = (tokenizer.decode([each], skip_special_tokens=False) for each in tokens.eos_ids)
    return tuple(dict.fromkeys(text for text in texts if text))
