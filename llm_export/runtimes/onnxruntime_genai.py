"""ONNX Runtime GenAI; an artifact is a folder of ``python -m onnxruntime_genai.models.builder``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class OnnxRuntimeGenAI:
    package = "onnxruntime-genai"

    @staticmethod
    def accepts(path: Path) -> bool:
        return (path / "genai_config.json").is_file()

    def __init__(self, path: Path, threads: int, context: int) -> None:
        import onnxruntime_genai as library

        config = library.Config(str(path))
        options = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
        self.library: Any = library
        self.model, self.context = library.Model(config), context
        body = json.loads((path / "genai_config.json").read_text(encoding="utf-8"))
        self.vocabulary = int(body["model"]["vocab_size"])

    def prefill(self, ids: list[int], depth: int) -> float:
        parameters = self.library.GeneratorParams(self.model)
        parameters.set_search_options(
            max_length=self.context, min_length=self.context, do_sample=False
        )
        generator = self.library.Generator(self.model, parameters)
        if depth:
            generator.append_tokens(ids[:depth])
        begin = time.perf_counter()
        generator.append_tokens(ids[depth:])
        generator.generate_next_token()
        self.generator: Any = generator
        return time.perf_counter() - begin

    def decode(self, ids: list[int], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            self.generator.generate_next_token()
        return time.perf_counter() - start


RUNTIME = OnnxRuntimeGenAI
