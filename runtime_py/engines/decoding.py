"""The decode loop of an engine."""

from __future__ import annotations

from collections.abc import Generator

from runtime_py.answer_parser import AnswerParser
from runtime_py.decoder import Decoder
from runtime_py.engines.engine import Engine, SelfSampling
from runtime_py.request import Request
from runtime_py.stats import Generation
from runtime_py.text_cache import TextCache
from runtime_py.tokenizer import TextTokenizer


class EngineDecoder(Decoder):
    """Answers of an engine that samples itself."""

    def __init__(self, engine: SelfSampling, tokenizer: TextTokenizer) -> None:
        super().__init__(tokenizer, None)
        self._engine = engine

    def decode(
        self, cache: TextCache, ids: list[int], result: Generation, request: Request,
        parser: AnswerParser,
    ) -> Generator[str, None, None]:  # fmt: skip
        yield from self._engine.answer(self._tokenizer, ids, result, request)


def decoder_of(engine: Engine, tokenizer: TextTokenizer) -> Decoder:
    """The loop over an engine's logits, or the engine's own."""
    if isinstance(engine, SelfSampling):
        return EngineDecoder(engine, tokenizer)
    return Decoder(tokenizer, engine.vocab_size)
