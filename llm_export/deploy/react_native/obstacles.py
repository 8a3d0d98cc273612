"""Why the library cannot load a bundle, or cannot hold a conversation with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llm_export.deploy.base import Obstacle
from llm_export.deploy.react_native.conversation import session_of, with_tokens
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError

_TEMPLATE = "an instruction-tuned model, whose checkpoint has a chat template"


def tokenizer_config(bundle: Bundle) -> dict[str, Any]:
    """tokenizer_config.json of a bundle; empty if it has none, or none that is an object."""
    file = bundle.file("tokenizer_config")
    try:
        body = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except ValueError:
        body = {}
    return body if isinstance(body, dict) else {}


def obstacles(bundle: Bundle) -> tuple[Obstacle, ...]:
    """All of them; none: the app can chat."""
    return tuple(_obstacles(bundle))


def _obstacles(bundle: Bundle) -> Iterator[Obstacle]:
    tokenizer = bundle.file("tokenizer")
    if tokenizer is None or tokenizer.suffix != ".json":
        yield Obstacle("it has no tokenizer.json", "a checkpoint with a tokenizer.json")
    program = bundle.manifest["program"]
    if not program["kv_cache"] or program.get("cache_io"):
        yield Obstacle("its KV cache is not inside the program", "export with runtime=default")
    if bundle.manifest.get("adapters"):
        yield Obstacle(
            "its program takes the weights of an adapter, which the library does not pass",
            "export with checkpoint.adapter_mode=merged",
        )
    config = tokenizer_config(bundle)
    template, end = config.get("chat_template"), config.get("eos_token")
    if not isinstance(end, str) or not end:
        yield Obstacle(
            "tokenizer_config.json has no eos_token", "a checkpoint whose tokenizer has one"
        )
    if not isinstance(template, str):
        yield Obstacle("tokenizer_config.json has no chat_template", _TEMPLATE)
        return
    try:
        tokens = bundle.manifest["tokenizer"]["special_tokens"]
        session = session_of(with_tokens(template, tokens))
    except BundleRuntimeError as error:
        yield Obstacle(error.what, _TEMPLATE)
        return
    if session is None:
        yield Obstacle(
            "its chat template writes a question otherwise once the answer follows, or refuses it",
            "a checkpoint whose template does not",
        )
