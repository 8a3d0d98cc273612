"""Tiktoken rank files (Meta Llama 3 and 4, Qwen 1) as tokenizer.json.

Each line contains a token's bytes in base64 and its rank, which is both its id and its merge
priority. The file contains neither the split regex nor the special tokens: those are in the
publisher's code and are selected here by the number of ranks.
"""

from __future__ import annotations

import base64
import unicodedata
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.tokenizers.conversion import ConvertedTokenizer
from llm_export.tokenizers.tiktoken_formats import LAYOUTS, Layout


def read_tiktoken(path: Path, layout: Layout | None = None) -> ConvertedTokenizer:
    """Convert a rank file; the original encodes through ``tiktoken``.

    Args:
        layout: split and special tokens; None looks them up by the number of ranks.

    Raises:
        CheckpointError: truncated or damaged, or not of a known model.
    """
    import tiktoken

    ranks = _read_ranks(path)
    layout = layout or LAYOUTS.get(len(ranks))
    if layout is None:
        known = ", ".join(f"{n} ({known.name})" for n, known in sorted(LAYOUTS.items()))
        raise CheckpointError(
            f"a tiktoken file of {len(ranks)} ranks is of no known model, or is truncated: "
            "how text is split and which tokens are special is not in the file",
            where=str(path),
            fix=f"known numbers of ranks: {known}; else save the tokenizer as tokenizer.json",
        )
    special = {text: len(ranks) + i for i, text in enumerate(layout.special_tokens)}
    encoding = tiktoken.Encoding(
        layout.name, pat_str=layout.split, mergeable_ranks=ranks, special_tokens=special
    )

    def encode(text: str) -> list[int]:
        text = unicodedata.normalize("NFC", text) if layout.nfc else text
        return encoding.encode(text, allowed_special="all")

    named = {"bos_token": layout.bos, "eos_token": layout.eos[0], "pad_token": layout.pad}
    return ConvertedTokenizer(
        tokenizer=_convert(ranks, layout),
        library="tiktoken",
        encode=encode,
        unfound={},
        specials={name: text for name, text in named.items() if text},
        eos_ids=tuple(special[text] for text in layout.eos),
        add_bos=layout.bos is not None,
    )


def _read_ranks(path: Path) -> dict[bytes, int]:
    lines = path.read_bytes().splitlines()
    ranks: dict[bytes, int] = {}
    for index, line in enumerate(lines):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError:  # binascii.Error is one
            raise _damaged(path, f"line {index + 1} is not a base64 token and its rank") from None
    if sorted(ranks.values()) != list(range(len(lines))):
        raise _damaged(path, "its ranks do not count from 0 without a gap")
    missing = sum(bytes([b]) not in ranks for b in range(256))
    if missing:
        raise _damaged(path, f"{missing} of the 256 single bytes have no token")
    return ranks


def _damaged(path: Path, detail: str) -> CheckpointError:
    return CheckpointError(
        f"the tiktoken file is truncated or damaged: {detail}", where=str(path),
        fix="fetch it again",
    )  # fmt: skip


def _convert(ranks: dict[bytes, int], layout: Layout) -> Any:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
    )  # fmt: skip

    names = _byte_names()
    text = {token: "".join(names[b] for b in token) for token in ranks}
    # tiktoken merges the neighbours whose concatenated bytes have the lowest rank, however they
    # were formed; so every split of a token is a merge with the token's rank.
    pairs = [
        (rank, ranks[token[:cut]], ranks[token[cut:]], text[token[:cut]], text[token[cut:]])
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    merges = [(left, right) for *_, left, right in sorted(pairs)]
    vocab = {text[token]: rank for token, rank in ranks.items()}
    # A word that is a token is encoded as that token, whether or not merges produce it.
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    if layout.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(layout.split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in layout.special_tokens]
    )
    return tokenizer


def _byte_names() -> list[str]:
    """GPT-2's printable character for each byte: itself where printable, else from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]
