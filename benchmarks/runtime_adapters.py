"""The runtimes that ``runtime_speed.py`` measures: one class each, imported in a separate process.

Each takes a path and a number of threads, and has

    prefill(ids) -> seconds until the next token is known, with an empty cache
    decode(ids, count) -> seconds for ``count`` tokens after a prompt of ``ids``

Each imports only its own runtime, so each can be installed in a separate environment.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


class Bundle:
    """This project's Python runtime; PATH is a bundle."""

    package = "executorch"

    def __init__(self, path: Path, threads: int) -> None:
        from runtime_py import LLM

        self.program = LLM.load(path, threads=threads).program

    def prefill(self, ids: list[int]) -> float:
        self.program.reset()
        start = time.perf_counter()
        int(self.program.prefill(ids).argmax())
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        self.program.reset()
        token = int(self.program.prefill(ids).argmax())
        start = time.perf_counter()
        for _ in range(count):
            token = int(self.program.step([token])[0, -1].argmax())
        return time.perf_counter() - start


class Program:
    """Any .pte of ExecuTorch's LLM exporters, in ExecuTorch's Python runtime; PATH is the file.
    A prompt is one step, as in ExecuTorch's runner."""

    package = "executorch"

    def __init__(self, path: Path, threads: int) -> None:
        os.environ.setdefault("MKL_NUM_THREADS", "1")  # as in runtime_py
        import torch
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)
        import executorch.extension.llm.custom_ops.custom_ops
        import executorch.kernels.quantized  # noqa: F401
        from executorch.runtime import Runtime

        self.torch = torch
        self.program = Runtime.get().load_program(path)
        self.method = self.program.load_method("forward")

    def step(self, ids: list[int], position: int) -> int:
        tensor = self.torch.tensor
        return int(self.method.execute((tensor([ids]), tensor([position])))[0].flatten().argmax())

    def prefill(self, ids: list[int]) -> float:
        start = time.perf_counter()
        self.step(ids, 0)
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        for at in range(0, len(ids), 512):
            token = self.step(ids[at : at + 512], at)
        start = time.perf_counter()
        for position in range(len(ids), len(ids) + count):
            token = self.step([token], position)
        return time.perf_counter() - start


class OptimumExecuTorch(Program):
    """PATH is a .pte of ``optimum-cli export executorch``. It takes the position of each token."""

    def step(self, ids: list[int], position: int) -> int:
        torch = self.torch
        positions = torch.arange(position, position + len(ids))
        made = self.method.execute((torch.tensor([ids]), positions))[0]
        return int(made[0, -1].argmax())


class Runner:
    """ExecuTorch's C++ TextLLMRunner; PATH is a bundle. It takes text, so prompts have about the
    requested length, and times are scaled to it. Its clock has a resolution of milliseconds."""

    package = "executorch"

    def __init__(self, path: Path, threads: int) -> None:
        os.environ.setdefault("MKL_NUM_THREADS", "1")
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)
        import executorch.extension.llm.custom_ops.custom_ops
        import executorch.kernels.quantized  # noqa: F401
        from executorch.extension.llm import runner

        self.library = runner
        self.runner = runner.TextLLMRunner(str(path / "model.pte"), str(path / "tokenizer.json"))
        self.tokens_a_word = 1.0
        self.tokens_a_word = self.run(64, 2)[0] / 64

    def run(self, length: int, count: int) -> Any:
        found: list[Any] = []
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

    def prefill(self, ids: list[int]) -> float:
        prompt, _, milliseconds, _ = self.run(len(ids), 2)
        return milliseconds / 1e3 * len(ids) / prompt

    def decode(self, ids: list[int], count: int) -> float:
        _, made, _, milliseconds = self.run(len(ids), count)
        return milliseconds / 1e3 * count / made


class LlamaCpp:
    """PATH is a .gguf file."""

    package = "llama-cpp-python"

    def __init__(self, path: Path, threads: int) -> None:
        from llama_cpp import Llama

        self.model = Llama(
            str(path), n_ctx=2048, n_batch=512, n_threads=threads, n_threads_batch=threads,
            verbose=False,
        )  # fmt: skip

    def prefill(self, ids: list[int]) -> float:
        self.model.reset()
        start = time.perf_counter()
        self.model.eval(ids)
        self.model.sample(temp=0.0)
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        self.prefill(ids)
        start = time.perf_counter()
        for _ in range(count):
            self.model.eval([self.model.sample(temp=0.0)])
        return time.perf_counter() - start


class OnnxRuntimeGenAI:
    """PATH is a folder written by ``python -m onnxruntime_genai.models.builder``."""

    package = "onnxruntime-genai"

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime_genai as library

        config = library.Config(str(path))
        options = f'{{"session_options": {{"intra_op_num_threads": {threads}}}}}'
        config.overlay(f'{{"model": {{"decoder": {options}}}}}')
        self.library, self.model = library, library.Model(config)

    def start(self, ids: list[int]) -> Any:
        parameters = self.library.GeneratorParams(self.model)
        parameters.set_search_options(max_length=2048, min_length=2048, do_sample=False)
        generator = self.library.Generator(self.model, parameters)
        generator.append_tokens(ids)
        generator.generate_next_token()
        return generator

    def prefill(self, ids: list[int]) -> float:
        start = time.perf_counter()
        self.start(ids)
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        generator = self.start(ids)
        start = time.perf_counter()
        for _ in range(count):
            generator.generate_next_token()
        return time.perf_counter() - start


class WholeCalls:
    """A runtime that returns all tokens at once; the time per token is a difference of calls."""

    def generated(self, ids: list[int], count: int) -> float:
        """Seconds until ``count`` tokens are known."""
        raise NotImplementedError

    def prefill(self, ids: list[int]) -> float:
        return self.generated(ids, 1)

    def decode(self, ids: list[int], count: int) -> float:
        first = self.generated(ids, 1)
        return self.generated(ids, 1 + count) - first


class CTranslate2(WholeCalls):
    """PATH is a folder written by ``ct2-transformers-converter``."""

    package = "ctranslate2"

    def __init__(self, path: Path, threads: int) -> None:
        import json

        import ctranslate2

        self.words = json.loads((path / "vocabulary.json").read_text(encoding="utf-8"))
        self.model = ctranslate2.Generator(
            str(path), device="cpu", inter_threads=1, intra_threads=threads
        )

    def generated(self, ids: list[int], count: int) -> float:
        prompt = [self.words[i] for i in ids]
        start = time.perf_counter()
        self.model.generate_batch(
            [prompt], max_length=count, min_length=count, sampling_topk=1,
            include_prompt_in_result=False,
        )  # fmt: skip
        return time.perf_counter() - start


class OpenVINOGenAI(WholeCalls):
    """PATH is a .gguf file, or a folder written by ``optimum-cli export openvino``. Prefix caching
    is off, because a repeated prompt would otherwise cost nothing."""

    package = "openvino-genai"

    def __init__(self, path: Path, threads: int) -> None:
        import openvino_genai as library

        self.library = library
        self.model = library.LLMPipeline(
            str(path), "CPU", ATTENTION_BACKEND="PA", INFERENCE_NUM_THREADS=threads,
            scheduler_config=self.without_reuse(),
        )  # fmt: skip

    def without_reuse(self) -> Any:
        config = self.library.SchedulerConfig()
        config.enable_prefix_caching = False
        config.max_num_batched_tokens = 2048
        return config

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


ADAPTERS = {
    "llm_export": Bundle,
    "program": Program,
    "optimum-executorch": OptimumExecuTorch,
    "runner": Runner,
    "llama.cpp": LlamaCpp,
    "onnxruntime-genai": OnnxRuntimeGenAI,
    "ctranslate2": CTranslate2,
    "openvino-genai": OpenVINOGenAI,
}
