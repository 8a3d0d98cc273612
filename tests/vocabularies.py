"""Small vocabularies in the publishers' own formats, made anew and always the same."""

from __future__ import annotations

import base64
import io
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any


def english() -> str:
    return resources.files("llm_export.data").joinpath("english.txt").read_text("utf-8")


def sentencepiece_model(path: Path, **settings: Any) -> Path:
    """Train a model with Llama's settings, changed by ``settings``."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(english().splitlines()),
        model_writer=written,
        minloglevel=2,
        num_threads=1,
        **{
            "model_type": "bpe", "vocab_size": 600, "byte_fallback": True,
            "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
            "add_dummy_prefix": True, "split_digits": True, "allow_whitespace_only_pieces": True,
            **settings,
        },
    )  # fmt: skip
    path.write_bytes(written.getvalue())
    return path


def tiktoken_ranks(count: int) -> list[bytes]:
    """256 bytes, then the commonest byte strings of two, three, ... that two tokens make."""
    data = english().encode()
    tokens = [bytes([b]) for b in range(256)]
    known = set(tokens)
    for length in range(2, 17):
        strings = Counter(data[i : i + length] for i in range(len(data) - length + 1))
        for string, _ in sorted(strings.items(), key=lambda item: (-item[1], item[0])):
            made = any(string[:c] in known and string[c:] in known for c in range(1, length))
            if made and string not in known:
                known.add(string)
                tokens.append(string)
            if len(tokens) == count or len(tokens) == 256 + 100 * (length - 1):
                break
    # Filled up with strings that no English text has, so that the number is the asked one.
    tokens += [b"\xff" + i.to_bytes(3, "big") for i in range(count - len(tokens))]
    return tokens[:count]


def tiktoken_file(path: Path, count: int) -> Path:
    lines = [f"{base64.b64encode(t).decode()} {i}\n" for i, t in enumerate(tiktoken_ranks(count))]
    path.write_text("".join(lines))
    return path
