"""This project's Python runtime; an artifact is a bundle."""

from __future__ import annotations

import time
from pathlib import Path


class Bundle:
    package = "llm_export"

    @staticmethod
    def accepts(path: Path) -> bool:
        from runtime_py.packed import is_packed

        return (path / "manifest.json").is_file() or is_packed(path)

    def __init__(self, path: Path, threads: int, context: int) -> None:
        from runtime_py import LLM
        from runtime_py.benchmark.depth import go_to

        self._go_to = go_to
        llm = LLM.load(path, threads=threads)
        self.program = llm.program
        self.vocabulary = int(llm.bundle.manifest["program"]["vocab_size"])

    def prefill(self, ids: list[int], depth: int) -> float:
        self._go_to(self.program, depth, self.vocabulary)
        start = time.perf_counter()
        int(self.program.prefill(ids[depth:]).argmax())
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        self._go_to(self.program, len(ids) - 1, self.vocabulary)
        token = int(self.program.step(ids[-1:])[0, -1].argmax())
        start = time.perf_counter()
        for _ in range(count):
            token = int(self.program.step([token])[0, -1].argmax())
        return time.perf_counter() - start


RUNTIME = Bundle
