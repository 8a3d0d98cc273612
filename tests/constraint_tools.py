"""Answers that only a constraint steers: tokens drawn at random among those that it allows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from runtime_py.constraints import Constraint
from runtime_py.constraints.compiler import Compiler
from runtime_py.sampling import Sampler, Sampling
from runtime_py.tokenizer import TextTokenizer

EOS = "<|end-of-answer|>"


def byte_tokenizer(
    folder: Path, special: Sequence[str] = (), added: Sequence[str] = ()
) -> TextTokenizer:
    """Each byte is a token, besides ``special`` ones, and ``added`` ones that are text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_tokens([AddedToken(text, normalized=False) for text in added])
    made.add_special_tokens([AddedToken(text, normalized=False) for text in (EOS, *special)])
    path = folder / "tokenizer.json"
    made.save(str(path))
    return TextTokenizer(
        path, bos_id=None, eos_ids=[int(made.token_to_id(EOS) or 0)], add_bos=False
    )


def walk(
    compiler: Compiler,
    tokenizer: TextTokenizer,
    constraint: Constraint,
    seed: int,
    liked: Sequence[int] = (),
    most: int = 4000,
    temperature: float = 1.0,
) -> tuple[list[int], bool]:
    """(tokens of an answer without its end, whether it is complete)

    Args:
        liked: tokens that are drawn rather than others where they may follow.
    """  # fmt: skip
    draw = random.Random(seed)
    logits = torch.zeros(tokenizer.size)
    logits[list(liked)] = 3.0
    state = compiler.start(constraint)
    sampler = Sampler(Sampling(temperature=temperature), seed, constraint=state)
    tokens: list[int] = []
    while not state.finished and len(tokens) < most:
        noise = torch.tensor([draw.random() for _ in range(8)]).repeat(tokenizer.size // 8 + 1)
        token = sampler(logits + noise[: tokenizer.size])
        if token in tokenizer.eos_ids:
            return tokens, True
        tokens.append(token)
    return tokens, state.finished
