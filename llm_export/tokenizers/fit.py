"""A tokenizer with more ids than the model's embedding has rows.

Such a checkpoint works as long as nobody uses the tokens beyond: mostly a padding token that a
training script added. A program would read beyond its table, so the bundle leaves them out.
"""

from __future__ import annotations

import json
from dataclasses import replace

from tokenizers import Tokenizer

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets

_SHOWN = 4


def fit_to_model(
    assets: TokenizerAssets, vocab_size: int
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer without tokens that the model has no embedding for, and a remark that says so.

    Args:
        vocab_size: rows of the embedding.

    Raises:
        CheckpointError: the model's own texts need such a token.
    """
    vocabulary = Tokenizer.from_str(assets.tokenizer_json).get_vocab(with_added_tokens=True)
    beyond = sorted((i, text) for text, i in vocabulary.items() if i >= vocab_size)
    if not beyond:
        return assets, ()
    body = json.loads(assets.tokenizer_json)
    added = {token["content"] for token in body.get("added_tokens") or []}
    texts = [text for _, text in beyond]
    needed = [text for text in texts if text not in added or _in_template(text, assets)]
    if needed:
        raise CheckpointError(
            f"tokenizer.json has {len(vocabulary)} tokens and the embedding {vocab_size} rows: "
            f"there is none for {_some(needed)}",
            where="tokenizer.json, and vocab_size of the model",
            fix="the tokenizer is of another model, or the embedding was not resized for the "
            "tokens that were added: fetch both again",
        )
    gone = set(texts)
    body["added_tokens"] = [t for t in body["added_tokens"] if t["content"] not in gone]
    vocab = body["model"].get("vocab")
    if isinstance(vocab, dict):
        body["model"]["vocab"] = {t: i for t, i in vocab.items() if i < vocab_size}
    elif isinstance(vocab, list):
        body["model"]["vocab"] = vocab[:vocab_size]
    fitting = replace(
        assets,
        tokenizer_json=Tokenizer.from_str(json.dumps(body)).to_str(),
        special_tokens={n: t for n, t in assets.special_tokens.items() if t not in gone},
    )
    return fitting, (
        f"left out of the tokenizer, beyond the {vocab_size} rows of the embedding: {_some(texts)}",
    )


def _in_template(text: str, assets: TokenizerAssets) -> bool:
    names = [name for name, token in assets.special_tokens.items() if token == text]
    templates = (assets.chat_template or "") + (assets.tool_use_template or "")
    return any(word in templates for word in (text, *names))


def _some(texts: list[str]) -> str:
    return ", ".join(map(repr, texts[:_SHOWN])) + (", ..." if len(texts) > _SHOWN else "")
