"""Names for the rows of an embedding that no token of the tokenizer has.

An app takes the number of tokens for the number of logits, or the other way round: ExecuTorch's C++
runner samples from as many logits as its tokenizer has tokens, so that an id beyond a gap is never
sampled, and react-native-executorch compares the two. With a special token for each row they are
equal, and a row that is sampled after all has no text. ``runtime_py`` samples none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from tokenizers import Tokenizer

from llm_export.tokenizers.base import TokenizerAssets
from runtime_py.tokenizer import row_name


def with_named_rows(assets: TokenizerAssets, vocab_size: int) -> tuple[TokenizerAssets, bool]:
    """(the tokenizer with a token for each row, whether every row has one now). It is unchanged
    where the library would give the new tokens other ids.

    Args:
        vocab_size: rows of the embedding, at least as many as the largest id.
    """
    known = vocabulary_of(assets.tokenizer_json)
    taken = set(known.values())
    rows = [i for i in range(vocab_size) if i not in taken] if known else []
    if not rows:
        return assets, taken == set(range(vocab_size))
    every = {**known, **{row_name(i): i for i in rows}}
    for in_model in (False, True):
        text = _with_tokens(assets.tokenizer_json, rows, in_model=in_model)
        if text is not None and _read(text) == every:
            return replace(assets, tokenizer_json=text), True
    return assets, False


def _with_tokens(tokenizer_json: str, rows: list[int], *, in_model: bool) -> str | None:
    """tokenizer.json with added tokens for ``rows``; None if its model cannot have tokens at
    given ids.

    Args:
        in_model: whether the vocabulary of the model gets all added tokens as well. The library
            counts on from its size, whatever ids the file says, so this bridges gaps.
    """
    body = json.loads(tokenizer_json)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    named = [{"id": i, "content": row_name(i), **flags, "special": True} for i in rows]
    added = [*(body.get("added_tokens") or ()), *named]
    body["added_tokens"] = sorted(added, key=lambda token: int(token["id"]))
    if in_model:
        own = body["model"].get("vocab")
        if not isinstance(own, dict):
            return None
        own |= {token["content"]: token["id"] for token in body["added_tokens"]}
        body["model"]["vocab"] = dict(sorted(own.items(), key=lambda entry: int(entry[1])))
    return json.dumps(body, ensure_ascii=False)


@lru_cache(maxsize=1)  # whoever asks first asks again, and a large one takes a second
def vocabulary_of(tokenizer_json: str) -> Mapping[str, int]:
    """Text -> id of all tokens."""
    return _read(tokenizer_json)


def _read(tokenizer_json: str) -> dict[str, int]:
    found: dict[str, int] = Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
    return found
