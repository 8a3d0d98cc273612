"""Whether a tokenizer can be bundled with a model, checked before any work."""

from __future__ import annotations

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import check_conversion, compare_with_cpp
from llm_export.tokenizers.encodes import require_encoding
from llm_export.tokenizers.fit import fit_to_model


def usable_tokenizer(
    assets: TokenizerAssets, vocab_size: int, *, compare: bool
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer as a bundle takes it, and remarks on what it leaves out. Checks the special
    ids and the conversion, and with ``compare`` the C++ tokenizer of apps.

    Raises:
        CheckpointError: an id is missing or outside the vocabulary, it cannot encode a text, or
            the conversion differs.
        VerificationError: the C++ tokenizer refuses this one or gives other ids.
    """
    _require_known_ids(assets.eos_ids, assets.bos_id, vocab_size)
    fitting, left_out = fit_to_model(assets, vocab_size)
    require_encoding(fitting)
    check_conversion(fitting)
    if compare:
        compare_with_cpp(fitting)
    return fitting, left_out


def _require_known_ids(eos_ids: tuple[int, ...], bos_id: int | None, vocab_size: int) -> None:
    if not eos_ids:
        raise CheckpointError(
            "the tokenizer names no end-of-sequence token: generation would never stop",
            where="tokenizer_config.json or generation_config.json",
            fix="add eos_token_id to generation_config.json",
        )
    for token in (*eos_ids, *(() if bos_id is None else (bos_id,))):
        if not 0 <= token < vocab_size:
            raise CheckpointError(
                f"the tokenizer's special id {token} is outside the vocabulary of {vocab_size}"
            )
