"""Random weights, reproducible from a seed, with a byte tokenizer.

For tests and for measuring the cost of shapes; every stage runs as with real weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets

BOS, EOS = "<|begin|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)

IMAGES_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ MARK }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
IMAGE = "<image>"


class RandomCheckpoint:
    """Random tensors for ``shapes`` (the model's names), each from its own generator.

    Args:
        vocab_size: ids of the tokenizer; None: as many as ``embed.weight`` has rows.
        image_token_id: of the token that stands for an image; None: there is none.
    """

    naming = "model"
    format = "random"
    files: tuple[Path, ...] = ()

    def __init__(
        self,
        seed: int,
        shapes: Mapping[str, tuple[int, ...]],
        vocab_size: int | None = None,
        image_token_id: int | None = None,
    ) -> None:
        self.seed = seed
        self.shapes = dict(shapes)
        self.vocab_size, self.image_token_id = vocab_size, image_token_id

    def config(self) -> Mapping[str, Any]:
        return {}

    def names(self) -> list[str]:
        return list(self.shapes)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, shape in self.shapes.items():
            # Seeded by name, so that a tensor is independent of the order of the others.
            generator = torch.Generator().manual_seed(self.seed ^ zlib.crc32(name.encode()))
            yield name, _initial(name, shape, generator)

    def tokenizer(self) -> TokenizerAssets:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        # Filler entries, so that every id that the model may sample decodes to a text.
        size = self.vocab_size or self.shapes["embed.weight"][0]
        unused = [f"<unused{i}>" for i in range(size - len(alphabet) - 2)]
        tokens, marks = [*alphabet, *unused], [BOS, EOS]
        if self.image_token_id is not None:
            if not len(alphabet) <= self.image_token_id < len(tokens):
                raise CheckpointError(
                    f"the image token {self.image_token_id} is that of a byte or of the end of a "
                    "text in the tokenizer of random weights",
                    where="model.config.image_token_id",
                    fix=f"from {len(alphabet)} to {len(tokens) - 1}",
                )
            tokens[self.image_token_id] = IMAGE
            marks.append(IMAGE)
        vocab = {token: i for i, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in marks])
        return TokenizerAssets(
            tokenizer_json=tokenizer.to_str(),
            chat_template=CHAT_TEMPLATE
            if self.image_token_id is None
            else IMAGES_TEMPLATE.replace("MARK", f"'{IMAGE}'"),
            bos_id=len(vocab),
            eos_ids=(len(vocab) + 1,),
            add_bos=False,
            special_tokens={"bos_token": BOS, "eos_token": EOS},
        )


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if len(shape) == 1:
        # Norm weights near one, biases near zero.
        base = 1.0 if "norm" in name else 0.0
        return base + 0.1 * torch.randn(shape, generator=generator)
    scale = 1.0 if name.startswith("embed") else shape[-1] ** -0.5
    return torch.randn(shape, generator=generator).mul_(scale)
