"""Bundles that the C++ project cannot take."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.deploy.base import Obstacle
from llm_export.deploy.cpp.tokenizer_steps import Unsupported
from llm_export.deploy.cpp.tokenizer_table import tokenizer_table
from runtime_py.bundle import Bundle


def obstacles(bundle: Bundle) -> Iterator[Obstacle]:
    """Of a bundle with the tokenizer of the adapter that it is deployed with."""
    program = bundle.manifest["program"]
    if "cache_io" in program or not program["kv_cache"]:
        yield Obstacle(
            "its program takes its caches as inputs",
            "export with runtime=default or runtime=static",
        )
    file = bundle.file("tokenizer")
    assert file is not None
    try:
        tokenizer_table(file)
    except Unsupported as error:
        yield Obstacle(
            f"its tokenizer has what the project's C++ tokenizer lacks: {error}",
            "a model with a BPE tokenizer, or ExecuTorch's own C++ app with tokenizer.json",
        )
