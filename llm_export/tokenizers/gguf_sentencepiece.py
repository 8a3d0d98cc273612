"""SentencePiece BPE vocabularies of GGUF files, which do not store merges.

``tokenizer.ggml.scores`` rank the pieces: SentencePiece joins the two neighbours that form the
piece with the best score, so each split of a piece into two known pieces is a merge of that rank.
https://github.com/google/sentencepiece
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers

from llm_export.errors import CheckpointError
from llm_export.tokenizers.bpe_merges import merges_from_scores
from llm_export.tokenizers.gguf_roles import BYTE, NORMAL, USER_DEFINED, special_ids
from llm_export.tokenizers.gguf_values import per_token


def sentencepiece_bpe(
    meta: Mapping[str, Any], tokens: list[str], types: list[int], where: str
) -> Tokenizer:
    """The tokenizer without its added tokens.

    Raises:
        CheckpointError: the scores do not rank the pieces, or the text would be normalized
            in a way that is not implemented.
    """
    scores = per_token(meta, "scores", float, tokens, where)
    for key in ("precompiled_charsmap", "remove_extra_whitespaces"):
        if meta.get(f"tokenizer.ggml.{key}"):
            raise CheckpointError(
                f"the GGUF tokenizer has '{key}', which is not implemented",
                where=where,
                fix="give the model's Hugging Face folder, whose tokenizer files say it all",
            )
    prefix = bool(meta.get("tokenizer.ggml.add_space_prefix", True))
    _refuse_escaped_spaces(tokens, types, where)
    unknown = special_ids(meta, tokens, where).get("unknown")
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=_merges(tokens, types, scores, where),
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=BYTE in types,
        )
    )
    steps = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    undo = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(undo + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    return tokenizer


def _merges(
    tokens: Sequence[str], types: Sequence[int], scores: Sequence[float], where: str
) -> list[tuple[str, str]]:
    ranked = {
        token: score
        for token, score, kind in zip(tokens, scores, types, strict=True)
        if kind == NORMAL
    }
    merges = merges_from_scores(ranked)
    joined = {left + right for left, right in merges}
    # Each piece of a trained model has a distinct rank, except for runs of spaces.
    if 2 * len({ranked[piece] for piece in joined}) < len(joined):
        raise CheckpointError(
            "the scores of the GGUF tokenizer do not rank its pieces: its merges cannot be had",
            where=where,
            fix="the file was converted without tokenizer.model; give the Hugging Face folder",
        )
    return merges


def _refuse_escaped_spaces(tokens: Sequence[str], types: Sequence[int], where: str) -> None:
    """Converters write the spaces of user-defined pieces unescaped, which match raw text."""
    for token, kind in zip(tokens, types, strict=True):
        if kind == USER_DEFINED and "▁" in token:
            raise CheckpointError(
                f"the GGUF tokenizer's user-defined piece {token!r} holds escaped spaces",
                where=where,
                fix="convert the model anew, or give its Hugging Face folder",
            )
