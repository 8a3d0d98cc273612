"""A vision-language model of transformers with the interface of the stages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.contract import ProgramForm
from llm_export.models.hf.model import HFModel
from llm_export.models.hf.prepare import prepare, prepare_encoder
from llm_export.models.programs.method import Method
from llm_export.models.vision.library.follow import LibraryImages, encoded, sizes_of
from llm_export.models.vision.library.parts import Parts, at_path
from llm_export.models.vision.seeing_model import SeeingModel


class Tower(nn.Module):
    """Pixels [1, 3, h, w] float32 -> embeddings [1, n, H] float32."""

    def __init__(self, hf: Any, stacked: bool) -> None:
        super().__init__()
        self.hf, self.stacked = hf.eval().requires_grad_(False), stacked

    def forward(self, pixels: Tensor) -> Tensor:
        return encoded(self.hf, pixels, self.stacked)


class Encoder(nn.Module):
    """The method ``vision_encoder``."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.tower(pixels)
        return found


class TextDecoder(nn.Module):
    """Embeddings [1, S, H] float32, input_pos [1] -> logits [1, S or 1, V]."""

    def __init__(self, language: HFModel) -> None:
        super().__init__()
        self.language = language

    def forward(self, embeddings: Tensor, input_pos: Tensor) -> Tensor:
        logits: Tensor = self.language(embeddings, input_pos)
        return logits


class TokenEmbedding(nn.Module):
    """Tokens [1, S] int64 -> embeddings [1, S, H] float32.

    Args:
        path: name of the table in the model.
    """

    def __init__(self, path: str, table: nn.Module) -> None:
        super().__init__()
        first, _, rest = path.partition(".")
        self.add_module(first, at_path(rest, table))
        self._path = path

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.get_submodule(self._path)(tokens)
        return found.float()


class LibraryVisionModel(SeeingModel):
    """The library's model in two parts: its ``get_image_features``, and the whole from
    ``inputs_embeds`` on, with a cache.

    Attributes:
        tower: see ``Tower``; the projector is a part of it.

    Args:
        hf: the whole.
        parts: of it; what they share of tensors is prepared for export in place, unless ``kind``
            is "cacheless".
    """

    language: HFModel
    config: LibraryImages

    def __init__(
        self, hf: Any, parts: Parts, images: LibraryImages, context_length: int, kind: str,
        all_logits: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config, self.context_length = images, context_length
        self._width = int(hf.config.get_text_config(decoder=True).hidden_size)
        if kind != "cacheless":
            prepare(parts.text)
            prepare_encoder(parts.vision)
        self.language = HFModel(parts.text, context_length, kind, all_logits)
        self.tower = Tower(parts.vision, images.stacked)
        self.metadata = self.language.metadata
        self.head_name = f"language.{self.language.head_name}"
        # Not a submodule: its tensors are those of the parts.
        self._whole = [hf] if kind == "cacheless" else []

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.input_embedding()(tokens)
        return embedded.float()

    def encode_image(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.tower(pixels)
        return found

    def decode(self, embeddings: Tensor, input_pos: Tensor, *further: Tensor) -> Tensor:
        logits: Tensor = self.language(embeddings, input_pos)
        return logits

    def whole_logits(
        self, before: Sequence[int], pixels: Tensor, after: Sequence[int]
    ) -> Tensor | None:
        if not self._whole:
            return None
        hf, images = self._whole[0], self.config
        ids = [*before, *[images.image_token_id] * images.tokens_per_image, *after]
        shown = pixels[None] if images.stacked else pixels
        sizes = {name: torch.tensor(value) for name, value in sizes_of(hf, pixels).items()}
        found: Tensor = hf(
            input_ids=torch.tensor([ids]), pixel_values=shown, use_cache=False, **sizes
        )[0]
        return found[0]

    def init_buffers(self) -> None:
        self.language.init_buffers()

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        start = torch.zeros(1, dtype=torch.int64)
        inputs = (torch.zeros(1, tokens, self._width), start)
        return nullcontext(ProgramForm(TextDecoder(self.language), inputs))

    def further_methods(self, tokens: int, *, dynamic: bool) -> Sequence[Method]:
        varies = {1: torch.export.Dim("tokens", min=1, max=tokens)} if dynamic else None
        table = self.input_embedding()
        path = next(name for name, module in self.named_modules() if module is table)
        ids = torch.zeros(1, tokens, dtype=torch.int64)
        return (
            Method("token_embedding", TokenEmbedding(path, table), (ids,), (varies,)),
            Method("vision_encoder", Encoder(self.tower), (self.example_pixels(),), (None,)),
        )
