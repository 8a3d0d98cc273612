"""OpenVINO GenAI; an artifact is a folder of ``optimum-cli export openvino``, or a .gguf file that
is named ``openvino-genai=FILE``. Prefix caching is off, because a repeated prompt would otherwise
cost nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class OpenVINOGenAI:
    package = "openvino-genai"

    @staticmethod
    def accepts(path: Path) -> bool:
        return (path / "openvino_model.xml").is_file()

    def __init__(self, path: Path, threads: int, context: int) -> None:
        import openvino_genai as library

        self.library: Any = library
        config = library.SchedulerConfig()
        config.enable_prefix_caching = False
        config.max_num_batched_tokens = context
        self.model = library.LLMPipeline(
            str(path), "CPU", ATTENTION_BACKEND="PA", INFERENCE_NUM_THREADS=threads,
            scheduler_config=config,
        )  # fmt: skip

    def generated(self, ids: list[int], count: int) -> float:
        import numpy as np
        import openvino as ov

        config = self.library.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = count
        config.ignore_eos, config.do_sample = True, False
        tokens = np.array([ids], dtype=np.int64)
        inputs = self.library.TokenizedInputs(ov.Tensor(tokens), ov.Tensor(np.ones_like(tokens)))
        start = time.perf_counter()
        self.model.generate(inputs, config)
        return time.perf_counter() - start


RUNTIME = OpenVINOGenAI
