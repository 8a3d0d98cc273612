"""A tokenizer with more or fewer ids than the model's embedding has rows.

With more, a checkpoint works as long as nobody uses the tokens beyond: mostly a padding token that
a training script added. A program would read beyond its table, so the bundle leaves them out. With
fewer, rows of the embedding are padding, which the bundle names (``with_named_rows``).
"""

from __future__ import annotations

import json
from dataclasses import replace

from tokenizers import Tokenizer

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.named_rows import vocabulary_of, with_named_rows
from llm_export.tokenizers.turn_end import with_turn_ends

_SHOWN = 4


def as_bundled(
    assets: TokenizerAssets, vocab_size: int | None
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer as a bundle of the model has it, and remarks on the differences: see
    ``fit_to_model`` and ``with_turn_ends``.

    Args:
        vocab_size: rows of the embedding; None: not known yet, and all tokens are kept.

    Raises:
        CheckpointError: as ``fit_to_model``.
    """
    fitting, said = (assets, ()) if vocab_size is None else fit_to_model(assets, vocab_size)
    ending, added = with_turn_ends(fitting)
    if vocab_size is not None:
        ending, every = with_named_rows(ending, vocab_size)
        if not every:
            added = (*added, f"an app cannot take the tokenizer's size for {vocab_size} logits")
    return ending, (*said, *added)


def fit_to_model(
    assets: TokenizerAssets, vocab_size: int
) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer without tokens that the model has no embedding for, and remarks on the rows
    and tokens that have no counterpart.

    Args:
        vocab_size: rows of the embedding.

    Raises:
        CheckpointError: the model's own texts need such a token.
    """
    vocabulary = vocabulary_of(assets.tokenizer_json)
    beyond = sorted((i, text) for text, i in vocabulary.items() if i >= vocab_size)
    spare = vocab_size - (len(vocabulary) - len(beyond))
    said = f"{spare} of the {vocab_size} rows of the embedding are no token of the tokenizer"
    padding = (said,) if spare > 0 else ()
    if not beyond:
        return assets, padding
    body = json.loads(assets.tokenizer_json)
    added = {token["content"] for token in body.get("added_tokens") or []}
    texts = [text for _, text in beyond]
    needed = [(i, text) for i, text in beyond if text not in added or _in_template(text, assets)]
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
    left_out = (
        f"left out of the tokenizer, beyond the {vocab_size} rows of the embedding: {_some(beyond)}"
    )
    return fitting, (left_out, *padding)


def _in_template(text: str, assets: TokenizerAssets) -> bool:
    names = [name for name, token in assets.special_tokens.items() if token == text]
    templates = (assets.chat_template or "") + (assets.tool_use_template or "")
    return any(word in templates for word in (text, *names))


def _some(tokens: list[tuple[int, str]]) -> str:
    shown = ", ".join(f"{text!r} ({i})" for i, text in tokens[:_SHOWN])
    return shown + (", ..." if len(tokens) > _SHOWN else "")
