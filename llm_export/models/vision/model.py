"""A vision-language model: a vision tower, a projector and a decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from llm_export.models import cache_io
from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.components.step import CacheTensors, Planned
from llm_export.models.contract import LanguageModel, ProgramForm
from llm_export.models.decoder import Decoder
from llm_export.models.programs.task_model import Method
from llm_export.models.state_buffers import state_buffers
from llm_export.models.vision.config import VisionConfig
from llm_export.models.vision.programs import TextDecoder, TokenEmbedding, VisionEncoder
from llm_export.models.vision.projectors import PROJECTORS
from llm_export.models.vision.towers import TOWERS


class VisionLanguageModel(LanguageModel):
    """``forward`` is that of the decoder, for text alone. For images, the decoder gets embeddings:
    of tokens by ``embed_tokens``, of an image by ``encode_image``.

    Attributes:
        language: the decoder.
        tower: pixels [B, 3, h, w] -> features [B, N, D].
        projector: features -> embeddings [B, n, H].
    """

    head_name = "language.head"
    repeated_layers = "language.layers"
    step_method = "text_decoder"

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

    # -- The parts ---------------------------------------------------------------------------

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[B, S] int64 -> [B, S, H] float32."""
        return self.language.embed_tokens(tokens).float()

    def encode_image(self, pixels: Tensor) -> Tensor:
        """[B, 3, h, w] of the configured size -> [B, n, H] float32."""
        features = self.projector(self.tower(pixels.to(_dtype(self.tower))))
        embedded: Tensor = features.float()
        return embedded

    def decode(self, embeddings: Tensor, input_pos: Tensor) -> Tensor:
        """[B, S, H] float32, input_pos [1] -> logits [B, S or 1, V]."""
        return self.language(embeddings.to(self._compute_dtype), input_pos)

    @property
    def _compute_dtype(self) -> torch.dtype:
        return cache_io.cache_dtype(self.language)

    @property
    def vision(self) -> nn.Module:
        """Tower and projector, under the names that they have in the model."""
        return nn.ModuleDict({"tower": self.tower, "projector": self.projector})

    # -- The decoder's interface -------------------------------------------------------------

    @property
    def all_logits(self) -> bool:  # type: ignore[override]
        return self.language.all_logits

    @all_logits.setter
    def all_logits(self, value: bool) -> None:
        self.language.all_logits = value

    @property
    def attention_kind(self) -> str:  # type: ignore[override]
        return self.language.attention_kind

    @property
    def step_length(self) -> int | None:  # type: ignore[override]
        return self.language.step_length

    def text_model(self) -> LanguageModel:
        return self.language

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        return self.language.set_attention(
            kind, step_length=step_length, sink_tokens=sink_tokens
        )

    def cache_metadata(self) -> CacheMetadata:
        return self.language.cache_metadata()

    def input_embedding(self) -> nn.Module:
        return self.language.input_embedding()

    def token_tables(self) -> Sequence[nn.Module]:
        return self.language.token_tables()

    def layer_chain(self) -> Sequence[nn.Module]:
        return self.language.layer_chain()

    def init_buffers(self) -> None:
        self.language.init_buffers()
        for part in (self.tower, self.projector):
            for module in part.modules():
                fill = getattr(module, "init_buffers", None)
                if fill is not None:
                    fill()

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        return self.language(tokens, input_pos)

    # -- The program -------------------------------------------------------------------------

    def state_buffers(self) -> dict[str, int | None]:
        return {f"model.{name}": dim for name, dim in state_buffers(self).items()}

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        embeddings = torch.zeros(1, tokens, self.config.language.hidden_size)
        if self.attention_kind == "static_io":
            return cache_io.program_form(self, tokens, embeddings)
        start = torch.zeros(1, dtype=torch.int64)
        return nullcontext(ProgramForm(TextDecoder(self), (embeddings, start)))

    def further_methods(self, longest: int, *, dynamic: bool) -> tuple[Method, ...]:
        height, width = self.config.image_size
        shape = {1: torch.export.Dim("tokens", min=1, max=longest)} if dynamic and longest > 1 else None
        tokens = torch.zeros(1, longest, dtype=torch.int64)
        return (
            Method(
                "token_embedding", TokenEmbedding(self), (tokens,), (shape,),
                ("tokens",), ("embeddings",),
            ),
            Method(
                "vision_encoder", VisionEncoder(self), (torch.zeros(1, 3, height, width),),
                (None,), ("pixels",), ("embeddings",),
            ),
        )  # fmt: skip

    # What ``cache_io`` needs of a model whose caches are inputs of the program.

    @property
    def norm(self) -> nn.Module:
        return self.language.norm

    @property
    def rings(self) -> Mapping[int | None, object]:
        return self.language.rings

    def run(self, tokens: Tensor, planned: Planned, caches: CacheTensors) -> Tensor:
        return self.language.run(tokens.to(self._compute_dtype), planned, caches)


def _dtype(module: nn.Module) -> torch.dtype:
    """The dtype of a part: that of its norms, which are never quantized."""
    own = (p.dtype for name, p in module.named_parameters() if "norm" in name)
    return next(own, torch.float32)


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
