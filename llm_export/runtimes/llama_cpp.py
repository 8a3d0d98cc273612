"""llama.cpp by llama-cpp-python; an artifact is a .gguf file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class LlamaCpp:
    package = "llama-cpp-python"

    @staticmethod
    def accepts(path: Path) -> bool:
        return path.suffix == ".gguf"

    def __init__(self, path: Path, threads: int, context: int) -> None:
        from llama_cpp import Llama

        self.model: Any = Llama(
            str(path), n_ctx=context, n_batch=512, n_threads=threads, n_threads_batch=threads,
            verbose=False,
        )  # fmt: skip
        self.vocabulary = int(self.model.n_vocab())

    def prefill(self, ids: list[int], depth: int) -> float:
        self.model.reset()
        if depth:
            self.model.eval(ids[:depth])
        start = time.perf_counter()
        self.model.eval(ids[depth:])
        self.model.sample(temp=0.0)
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            self.model.eval([self.model.sample(temp=0.0)])
        return time.perf_counter() - start


RUNTIME = LlamaCpp
