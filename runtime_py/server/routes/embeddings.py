"""POST /v1/embeddings, for bundles that embed."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime_py.errors import ArgumentError
from runtime_py.server.bodies import Body
from runtime_py.server.errors import ApiError, refused, wrong
from runtime_py.server.handling import client_of, collected, noted, received
from runtime_py.server.job import Work

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py.embedding import Embedder

_TEXTS = 2048
"""Most texts of one request, as in OpenAI's API."""
_FORMATS = ("float", "base64")
_BATCHES = 4
"""Full batches that are embedded before it is another request's turn."""


class EmbeddingsBody(Body):
    """``prompt`` and ``truncate`` are those of ``Embedder.embed``, which OpenAI's API lacks."""

    unsupported: ClassVar[dict[str, str]] = {"input_type": "use prompt: query or document"}

    input: str | list[int] | list[str] | list[list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    prompt: str | None = None
    truncate: bool | None = None


@noted
async def create(request: Request) -> JSONResponse:
    serving, body = await received(request, EmbeddingsBody)
    embedder = serving.embedder
    job = Embedding(texts_of(body), body, serving.settings.timeout)
    _check(embedder, body)
    serving.enqueue(job, client_of(request))
    request.state.noted["job"] = job
    await collected(request, job)
    write = _base64 if body.encoding_format == "base64" else _floats
    rows = [row for part in job.parts for row in part]
    data = [
        {"object": "embedding", "index": index, "embedding": write(row)}
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": job.tokens, "total_tokens": job.tokens}
    serving.metrics.embedded(len(rows), job.tokens)
    return JSONResponse(
        {"object": "list", "data": data, "model": serving.model_name, "usage": usage}
    )


def texts_of(body: EmbeddingsBody) -> list[Any]:
    """Texts, or lists of token ids.

    Raises:
        ApiError: there are none, or too many.
    """
    given: Any = body.input
    several = isinstance(given, list) and not (given and isinstance(given[0], int))
    texts = list(given) if several else [given]
    if not texts or (not several and given == []):
        raise wrong("input has no text", "input", "invalid_value")
    if len(texts) > _TEXTS:
        raise wrong(f"input may have {_TEXTS} texts at most", "input", "invalid_value")
    return texts


def _check(embedder: Embedder, body: EmbeddingsBody) -> None:
    if body.encoding_format not in (None, *_FORMATS):
        raise wrong("encoding_format must be float or base64", "encoding_format", "invalid_value")
    if body.prompt is not None and not isinstance(texts_of(body)[0], str):
        raise wrong("prompt is for texts, not for token ids", "prompt", "invalid_value")
    try:
        embedder.settings.cut(body.dimensions)
    except ArgumentError as error:
        raise refused(error, "dimensions") from None


class Embedding(Work):
    """Embeds texts batch by batch.

    Attributes:
        parts: the embeddings, some texts each.
    """

    def __init__(self, texts: Sequence[Any], body: EmbeddingsBody, seconds: float) -> None:
        super().__init__(seconds)
        self._texts, self._body = texts, body
        self.parts: list[Tensor] = []

    def steps(self, model: Any) -> Iterator[None]:
        count = _BATCHES * model.settings.max_batch
        for start in range(0, len(self._texts), count):
            if self.cancelled:
                return
            self._embed(model, self._texts[start : start + count], start)
            yield

    def _embed(self, embedder: Embedder, texts: Sequence[Any], start: int) -> None:
        from runtime_py.embedding.embedder import TextTooLongError

        body = self._body
        whole: dict[str, Any] = {"truncate": bool(body.truncate), "dimensions": body.dimensions}
        try:
            if isinstance(texts[0], str):
                found = embedder.embed_with_stats(texts, prompt=body.prompt, **whole)
            else:
                found = embedder.embed_ids(texts, **whole)
        except TextTooLongError as error:
            raise ApiError(
                400, f"input[{start + error.index}] has {error.tokens} tokens; the model takes "
                f"{error.most}: split it, or truncate: true embeds its beginning", param="input",
                code="context_length_exceeded",
            ) from None  # fmt: skip
        except ArgumentError as error:
            # It counts the texts of this batch.
            error.what = re.sub(
                r"^text (\d+)", lambda found: f"input[{start + int(found[1])}]", error.what
            )
            raise refused(error, "input") from None
        self.parts.append(found.values)
        self.tokens += found.total_tokens


def _floats(row: Tensor) -> list[float]:
    return [float(f"{value:.9g}") for value in row.tolist()]


def _base64(row: Tensor) -> str:
    """Little-endian float32, as OpenAI's clients ask for."""
    return base64.b64encode(row.numpy().astype("<f4").tobytes()).decode()


ROUTES = [Route("/v1/embeddings", create, methods=["POST"])]
