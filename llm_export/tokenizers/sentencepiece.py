"""SentencePiece models (``tokenizer.model`` of Llama 2, Mistral, Gemma, Phi-3) as tokenizer.json.

SentencePiece replaces spaces by ``▁`` (U+2581), optionally puts one before the text
(``add_dummy_prefix``), and merges (BPE) or selects (Unigram) pieces. Characters outside the
vocabulary become byte pieces (``byte_fallback``) or one unknown piece. Format and flags:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.tokenizers.bpe_merges import merges_from_scores
from llm_export.tokenizers.conversion import ConvertedTokenizer

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5
_UNIGRAM, _BPE = 1, 2
_SPACE = "▁"
_FIX = "give the model's Hugging Face folder, whose tokenizer.json says it all"


def read_sentencepiece(path: Path) -> ConvertedTokenizer:
    """Convert a SentencePiece model file; the original encodes through ``sentencepiece``.

    Raises:
        CheckpointError: truncated or damaged, or of a kind that tokenizer.json cannot express.
    """
    import sentencepiece
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    data = path.read_bytes()
    schema: Any = sentencepiece_model_pb2  # generated code without type annotations
    proto = schema.ModelProto()
    try:
        proto.ParseFromString(data)
        # The settings follow the pieces: a file cut between two pieces still parses.
        if not (proto.HasField("trainer_spec") and proto.HasField("normalizer_spec")):
            raise _damaged(path, "its settings are missing")
        _require_supported(proto, path)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    except (DecodeError, RuntimeError) as error:
        raise _damaged(path, str(error).strip() or "the message ends early") from None

    ids = {n: getattr(processor, f"{n}_id")() for n in ("bos", "eos", "pad", "unk")}
    specials = {f"{n}_token": processor.id_to_piece(i) for n, i in ids.items() if i >= 0}
    unfound = {p.piece: i for i, p in enumerate(proto.pieces) if p.type in (_UNKNOWN, _CONTROL)}
    # Gemma's instruct models end a turn with a piece that the file does not declare as EOS.
    ends = [i for i, p in enumerate(proto.pieces) if p.piece == "<end_of_turn>"]
    return ConvertedTokenizer(
        tokenizer=_convert(proto),
        library="sentencepiece",
        encode=processor.encode_as_ids,
        unfound=unfound,
        specials=specials,
        eos_ids=(*([ids["eos"]] if ids["eos"] >= 0 else []), *ends),
        add_bos=ids["bos"] >= 0,
    )


def _damaged(path: Path, detail: str) -> CheckpointError:
    return CheckpointError(
        f"the SentencePiece model is truncated or damaged: {detail}",
        where=str(path),
        fix="fetch it again",
    )


def _require_supported(proto: Any, path: Path) -> None:
    unlike = []
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        unlike.append("a model type other than BPE and Unigram")
    if proto.trainer_spec.treat_whitespace_as_suffix:
        unlike.append("spaces at the end of words (treat_whitespace_as_suffix)")
    if not proto.normalizer_spec.escape_whitespaces:
        unlike.append("spaces as they are (escape_whitespaces=false)")
    if unlike:
        raise CheckpointError(
            f"the SentencePiece model has {' and '.join(unlike)}, which is not supported",
            where=str(path), fix=_FIX,
        )  # fmt: skip


def _convert(proto: Any) -> Any:
    from tokenizers import AddedToken, Tokenizer

    settings = proto.normalizer_spec
    bpe = proto.trainer_spec.model_type == _BPE
    symbols = [p.piece for p in proto.pieces if p.type == _USER_DEFINED] if bpe else []
    # Added tokens split the text before normalization, so each part would get its own leading
    # space; and they are not matched in text whose spaces are already replaced.
    plain = [s for s in symbols if set(s) != {_SPACE}]
    split = (settings.add_dummy_prefix and bool(symbols)) or any(_SPACE in s for s in plain)

    tokenizer = Tokenizer(_bpe(proto, split) if bpe else _unigram(proto))
    tokenizer.normalizer = _normalizer(settings)
    tokenizer.decoder = _decoder(settings.add_dummy_prefix)
    special = [p.piece for p in proto.pieces if p.type in (_UNKNOWN, _CONTROL)]
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    if split:
        tokenizer.pre_tokenizer = _split_at(symbols)
    else:
        tokenizer.add_tokens([AddedToken(s, special=False, normalized=False) for s in plain])
    return tokenizer


def _bpe(proto: Any, split: bool) -> Any:
    from tokenizers import models

    scores = {p.piece: p.score for p in proto.pieces if p.type in (_NORMAL, _UNUSED)}
    symbols = {p.piece for p in proto.pieces if p.type == _USER_DEFINED}
    runs = set() if split else {s for s in symbols if set(s) == {_SPACE}}
    return models.BPE(
        vocab={p.piece: i for i, p in enumerate(proto.pieces)},
        merges=merges_from_scores(scores, runs),
        unk_token=next((p.piece for p in proto.pieces if p.type == _UNKNOWN), None),
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
        # Where text is split at user-defined symbols, a whole-word lookup finds these symbols.
        ignore_merges=split,
    )


def _unigram(proto: Any) -> Any:
    from tokenizers import models

    # SentencePiece gives user-defined symbols this score (EncodeOptimized in unigram_model.cc),
    # better than any other piece's, instead of the file's score.
    return models.Unigram(
        vocab=[(p.piece, -0.1 if p.type == _USER_DEFINED else p.score) for p in proto.pieces],
        unk_id=next((i for i, p in enumerate(proto.pieces) if p.type == _UNKNOWN), None),
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def _normalizer(settings: Any) -> Any:
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    if settings.precompiled_charsmap:
        steps.append(normalizers.Precompiled(settings.precompiled_charsmap))
    if settings.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(rf"\A +|[ {_SPACE}]+\z"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if settings.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def _decoder(prefix: bool) -> Any:
    from tokenizers import decoders

    undo = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(undo + ([decoders.Strip(" ", 1, 0)] if prefix else []))


def _split_at(symbols: list[str]) -> Any:
    """Split at user-defined symbols, longest first.

    The pattern also matches the text in between, because ExecuTorch's C++ tokenizer drops
    unmatched text.
    """
    from tokenizers import Regex, pre_tokenizers

    any_symbol = "|".join(re.escape(s) for s in sorted(symbols, key=len, reverse=True))
    pattern = rf"{any_symbol}|(?:(?!{any_symbol})[\s\S])+"
    return pre_tokenizers.Split(Regex(pattern), "isolated")
