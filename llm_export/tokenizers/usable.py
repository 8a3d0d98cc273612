"""Whether a tokenizer can be bundled with a model, checked before any work."""

from __future__ import annotations

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import check_conversion, compare_with_cpp
from llm_export.tokenizers.encodes import require_encoding
from llm_export.tokenizers.fit import as_bundled


def usable_tokenizer(
    assets: TokenizerAssets, vocab_size: int | None, *, compare: bool
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer as a bundle takes it, and remarks on what that changes. Checks the special
    ids and the conversion, and with ``compare`` the C++ tokenizer of apps.

    Args:
        vocab_size: rows of the embedding; None: not known yet, and not compared.

    Raises:
        CheckpointError: an id is missing or outside the vocabulary, it cannot encode a text, or
            the conversion differs.
        VerificationError: the C++ tokenizer refuses this one or gives other ids.
    """
    if vocab_size is not None:
        _require_rows(assets, vocab_size)
    _require_nothing_around(assets)
    fitting, remarks = as_bundled(assets, vocab_size)
    _require_an_end(fitting)
    require_encoding(fitting)
    check_conversion(fitting)
    if compare:
        compare_with_cpp(fitting)
    return fitting, remarks


def encoding_tokenizer(
    assets: TokenizerAssets, vocab_size: int | None
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """Like ``usable_tokenizer``, for a model that generates nothing: no token need end a text, its
    post-processor may add tokens at both ends, and the C++ tokenizer is not asked.

    Raises:
        CheckpointError: an id is outside the vocabulary, it cannot encode a text, or the
            conversion differs.
    """
    if vocab_size is not None:
        _require_rows(assets, vocab_size)
    fitting, remarks = as_bundled(assets, vocab_size)
    require_encoding(fitting)
    check_conversion(fitting)
    return fitting, remarks


def _require_nothing_around(assets: TokenizerAssets) -> None:
    if assets.around is not None:
        raise CheckpointError(
            f"{assets.around}; a runtime puts one token before a prompt, and none after it",
            where="tokenizer.json",
            fix="set add_eos_token to false in transformers, and save the tokenizer again",
        )


def _require_an_end(assets: TokenizerAssets) -> None:
    if not assets.eos_ids:
        raise CheckpointError(
            "the tokenizer names no end-of-sequence token: generation would never stop",
            where="tokenizer_config.json or generation_config.json",
            fix="add eos_token_id to generation_config.json",
        )


def _require_rows(assets: TokenizerAssets, vocab_size: int) -> None:
    for token in (*assets.eos_ids, *(() if assets.bos_id is None else (assets.bos_id,))):
        if not 0 <= token < vocab_size:
            raise CheckpointError(
                f"the tokenizer's special id {token} is outside the vocabulary of {vocab_size}",
                where="tokenizer_config.json, generation_config.json or config.json",
                fix="the tokenizer and the weights are of different models, or the embedding was "
                "not resized for tokens that were added: fetch both again",
            )
