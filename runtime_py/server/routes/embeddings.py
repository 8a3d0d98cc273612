"""POST /v1/embeddings, for bundles that embed."""

from __future__ import annotations

from typing import Any, NoReturn

from starlette.requests import Request
from starlette.routing import Route

from runtime_py.server.bodies import Body
from runtime_py.server.errors import ApiError
from runtime_py.server.handling import noted, received


class EmbeddingsBody(Body):
    input: Any
    encoding_format: str | None = None
    dimensions: int | None = None


@noted
async def create(request: Request) -> NoReturn:
    serving, _ = await received(request, EmbeddingsBody)
    # No program that can be exported today returns hidden states.
    raise ApiError(
        400, f"the model '{serving.model_name}' does not embed: its program returns logits, and no "
        "hidden states; serve a bundle of an embedding model", param="model",
        code="model_not_supported",
    )  # fmt: skip


ROUTES = [Route("/v1/embeddings", create, methods=["POST"])]
