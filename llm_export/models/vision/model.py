"""A vision-language model: a vision tower, a projector and a decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from llm_export.errors import RecipeError
from llm_export.models import cache_io
from llm_export.models.components.step import CacheTensors, Planned
from llm_export.models.contract import ProgramForm
from llm_export.models.decoder import Decoder
from llm_export.models.programs.method import Method
from llm_export.models.vision.config import VisionConfig
from llm_export.models.vision.programs import (
    BlockTextDecoder,
    TextDecoder,
    TokenEmbedding,
    VisionEncoder,
)
from llm_export.models.vision.projectors import PROJECTORS
from llm_export.models.vision.seeing_model import SeeingModel
from llm_export.models.vision.step_inputs import (
    ATTEND_UNTIL,
    DEEPSTACK,
    ROPE_POSITIONS,
    step_inputs,
)
from llm_export.models.vision.towers import TOWERS


class VisionLanguageModel(SeeingModel):
    """A model of our own components.

    Attributes:
        tower: pixels [B, 3, h, w] -> features [B, N, D]. ``repeated_layers`` names its layers, if
            they are not "layers", or is empty if none may be left out of a graph.
        projector: features -> embeddings [B, n, H].
    """

    head_name = "language.head"
    repeated_layers = "language.layers"
    config: VisionConfig
    language: Decoder

    def __init__(
        self, config: VisionConfig, context_length: int, attention: str, all_logits: bool
    ) -> None:
        super().__init__()
        self.config = config
        self.language = Decoder(config.language, context_length, attention, all_logits)
        self.tower: nn.Module = TOWERS.get(config.tower.kind)(config.tower)
        self.projector: nn.Module = PROJECTORS.get(config.projector.kind)(config.projector)
        self.metadata = self.language.metadata
        self.context_length = context_length
        self.chain_reads_tokens = self.language.chain_reads_tokens
        self.step_inputs = step_inputs(config.language, config.bidirectional)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[B, S] int64 -> [B, S, H] float32."""
        return self.language.embed_tokens(tokens).float()

    def encode_image(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[B, 3, h, w] of the configured size -> [B, n, H] float32; see ``VisionEncoder``."""
        encoded: Tensor | tuple[Tensor, Tensor] = VisionEncoder(self.tower, self.projector)(pixels)
        return encoded

    def decode(self, embeddings: Tensor, input_pos: Tensor, *further: Tensor) -> Tensor:
        """[B, S, H] float32, input_pos [1], ``step_inputs`` -> logits [B, S or 1, V]."""
        logits: Tensor = self._text_decoder()(embeddings, input_pos, *further)
        return logits

    def _text_decoder(self) -> nn.Module:
        kind = BlockTextDecoder if self.config.bidirectional else TextDecoder
        return kind(self.language)

    @property
    def vision(self) -> nn.Module:
        """Tower and projector, under the names that they have in the model."""
        return nn.ModuleDict({"tower": self.tower, "projector": self.projector})

    def init_buffers(self) -> None:
        self.language.init_buffers()
        for part in (self.tower, self.projector):
            for module in part.modules():
                fill = getattr(module, "init_buffers", None)
                if fill is not None:
                    fill()

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        embeddings = torch.zeros(1, tokens, self.config.language.hidden_size)
        further = [each.example(tokens) for each in self.step_inputs]
        if self.attention_kind == "static_io":
            if ATTEND_UNTIL in (each.name for each in self.step_inputs):
                raise _no_static_io(ATTEND_UNTIL)
            form = CachesAndStepInputs if further else cache_io.CachesAsInputs
            return cache_io.program_form(self, tokens, embeddings, further, form)
        start = torch.zeros(1, dtype=torch.int64)
        dims = (1, None, *(each.token_dim for each in self.step_inputs))
        inputs = (embeddings, start, *further)
        return nullcontext(ProgramForm(self._text_decoder(), inputs, dims))

    def further_methods(self, tokens: int, *, dynamic: bool) -> Sequence[Method]:
        pixels = self.example_pixels(self.config.tower.channels)
        varies = {1: torch.export.Dim("tokens", min=1, max=tokens)} if dynamic else None
        embedding, encoder = (
            TokenEmbedding(self.language),
            VisionEncoder(self.tower, self.projector),
        )
        layers = str(getattr(self.tower, "repeated_layers", "layers"))
        return (
            Method(
                "token_embedding", embedding, (torch.zeros(1, tokens, dtype=torch.int64),),
                (varies,),
            ),
            Method(
                "vision_encoder", encoder, (pixels,), (None,),
                layers and f"tower.{layers}",
            ),
        )  # fmt: skip

    # What ``cache_io`` needs of a model whose caches are inputs of the program.

    @property
    def norm(self) -> nn.Module:
        return self.language.norm

    @property
    def rings(self) -> Mapping[int | None, object]:
        return self.language.rings

    def run(
        self,
        tokens: Tensor,
        planned: Planned,
        caches: CacheTensors,
        further: Sequence[Tensor] = (),
    ) -> Tensor:
        names = [each.name for each in self.step_inputs] if further else []
        given = dict(zip(names, further, strict=True))
        if ROPE_POSITIONS in given:
            planned = planned._replace(rotary=given[ROPE_POSITIONS])
        dtype, additions = cache_io.cache_dtype(self.language), given.get(DEEPSTACK)
        return self.language.run(
            tokens.to(dtype),
            planned,
            caches,
            additions=None if additions is None else additions.to(dtype),
        )


class CachesAndStepInputs(cache_io.CachesAsInputs):
    """The same with the model's ``step_inputs`` behind the states."""

    model: VisionLanguageModel

    def run(
        self, tokens: Tensor, planned: Planned, caches: CacheTensors, further: Sequence[Tensor]
    ) -> Tensor:
        return self.model.run(tokens, planned, caches, further)


def _no_static_io(name: str) -> RecipeError:
    return RecipeError(
        f"the decoder takes '{name}' of each step, which programs whose caches are inputs do not",
        where="the backend's attention kind static_io",
        fix="use a backend that keeps the caches in the program, such as backend=xnnpack",
    )


def build_on_meta(
    config: VisionConfig, context_length: int, attention: str, all_logits: bool
) -> VisionLanguageModel:
    """Build a model on the meta device: parameters and buffers have shapes but no memory."""
    with torch.device("meta"):
        model = VisionLanguageModel(config, context_length, attention, all_logits)
    if config.language.tied_embeddings:
        model.language.head.weight = model.language.embed.weight
    return model.eval().requires_grad_(False)


def with_ropes_for(config: VisionConfig, context_length: int) -> VisionConfig:
    """The config with the RoPE frequencies of a program of ``context_length``."""
    from llm_export.models.components.rope_scaling import for_context

    ropes = tuple(for_context(rope, context_length) for rope in config.language.ropes)
    return replace(config, language=replace(config.language, ropes=ropes))
