"""ExecuTorch's C++ TextLLMRunner; an artifact is a bundle, named ``runner=BUNDLE``. It takes text,
so prompts have about the requested length, and times are scaled to it. Its clock has a resolution
of milliseconds."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any


class Runner:
    package = "executorch"
    differences = True

    @staticmethod
    def accepts(path: Path) -> bool:
        return False  # by its name only: a bundle is for this project's runtime

    def __init__(self, path: Path, threads: int, context: int) -> None:
        os.environ.setdefault("MKL_NUM_THREADS", "1")
        compat = Path(__file__).parents[2] / "runtime_py" / "compat.py"
        runpy.run_path(str(compat))["reset_thread_pool"](threads)
        import executorch.extension.llm.custom_ops.custom_ops
        import executorch.kernels.quantized  # noqa: F401
        from executorch.extension.llm import runner

        self.library: Any = runner
        self.runner = runner.TextLLMRunner(str(path / "model.pte"), str(path / "tokenizer.json"))
        self.tokens_a_word = 1.0
        self.tokens_a_word = self.run(64, 2)[0] / 64

    def run(self, length: int, count: int) -> tuple[int, int, float, float]:
        """(tokens of the prompt, generated tokens, milliseconds of the one, of the other)"""
        found: list[tuple[int, int, float, float]] = []
        self.runner.reset()
        config = self.library.GenerationConfig(max_new_tokens=count, temperature=0.0, echo=False)

        def keep(stats: Any) -> None:
            found.append((
                stats.num_prompt_tokens, stats.num_generated_tokens,
                stats.prompt_eval_end_ms - stats.inference_start_ms,
                stats.inference_end_ms - stats.prompt_eval_end_ms,
            ))  # fmt: skip

        words = max(1, round(length / self.tokens_a_word))
        self.runner.generate(" a" * words, config, None, keep)
        return found[0]

    def first(self, length: int) -> float:
        prompt, _, milliseconds, _ = self.run(length, 2)
        return milliseconds / 1e3 * length / prompt

    def prefill(self, ids: list[int], depth: int) -> float:
        return self.first(len(ids)) - (self.first(depth) if depth else 0.0)

    def decode(self, ids: list[int], count: int) -> float:
        _, made, _, milliseconds = self.run(len(ids), count)
        return milliseconds / 1e3 * count / made


RUNTIME = Runner
