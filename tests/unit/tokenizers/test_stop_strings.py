"""Stop strings are the texts of the EOS ids."""

from __future__ import annotations

from dataclasses import replace

from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.tokenizers.stop_strings import stop_strings


def test_special_and_ordinary_tokens_have_their_text() -> None:
    assets = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()
    assert stop_strings(assets) == ("<|end|>",)
    begin = (assets.bos_id or 0, *assets.eos_ids, 0, 100000)
    assert stop_strings(replace(assets, eos_ids=begin)) == ("<|begin|>", "<|end|>", "!")
    assert stop_strings(replace(assets, eos_ids=())) == ()
