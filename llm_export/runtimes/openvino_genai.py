"""OpenVINO GenAI; an artifact is a folder of ``optimum-cli export openvino``, or a .gguf file that
is named ``openvino-genai=FILE``. Its prefix cache holds the tokens that are to be there before a
prompt; each prompt differs from all before, so that nothing of the prompt itself is in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

_IDS = 30_000
"""Token ids are below: no model's vocabulary is known here."""


class OpenVINOGenAI:
    package = "openvino-genai"

    @staticmethod
    def accepts(path: Path) -> bool:
        return (path / "openvino_model.xml").is_file()

    def __init__(self, path: Path, threads: int, context: int) -> None:
        import openvino_genai as library

        self.library: Any = library
        config = library.SchedulerConfig()
        config.enable_prefix_caching = True
        config.max_num_batched_tokens = context
        self.model = library.LLMPipeline(
            str(path), "CPU", ATTENTION_BACKEND="PA", INFERENCE_NUM_THREADS=threads,
            scheduler_config=config,
        )  # fmt: skip
        self.prompts, self.prompt = 0, [0]

    def run(self, ids: list[int], count: int) -> tuple[float, float]:
        """Seconds until the first token after ``ids``, and until ``count`` tokens are known."""
        import numpy as np
        import openvino as ov

        config = self.library.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = count
        config.ignore_eos, config.do_sample = True, False
        tokens = np.array([ids], dtype=np.int64)
        inputs = self.library.TokenizedInputs(ov.Tensor(tokens), ov.Tensor(np.ones_like(tokens)))
        start = time.perf_counter()
        found = self.model.generate(inputs, config)
        seconds = time.perf_counter() - start
        return found.perf_metrics.get_ttft().mean / 1e3, seconds

    def prefill(self, ids: list[int], depth: int) -> float:
        if depth:
            self.run(ids[:depth], 1)
        self.prompts += 1
        self.prompt = [*ids[:depth], *((each + self.prompts) % _IDS for each in ids[depth:])]
        return self.run(self.prompt, 1)[1]

    def decode(self, ids: list[int], count: int) -> float:
        first, all_of_them = self.run(self.prompt, 1 + count)
        return all_of_them - first


RUNTIME = OpenVINOGenAI
