"""ExecuTorch's Python runtime; an artifact is a .pte of ``export_llm`` or ``optimum-cli export
executorch``. A prompt is one step, as in ExecuTorch's runner, or as many as the program needs."""

from __future__ import annotations

import os
import runpy
import time
from pathlib import Path
from typing import Any


class Program:
    package = "executorch"

    @staticmethod
    def accepts(path: Path) -> bool:
        return path.suffix == ".pte"

    def __init__(self, path: Path, threads: int, context: int) -> None:
        os.environ.setdefault("MKL_NUM_THREADS", "1")  # as in runtime_py
        import torch

        compat = Path(__file__).parents[2] / "runtime_py" / "compat.py"
        runpy.run_path(str(compat))["reset_thread_pool"](threads)
        import executorch.extension.llm.custom_ops.custom_ops
        import executorch.kernels.quantized  # noqa: F401
        from executorch.runtime import Runtime

        self.torch = torch
        self.program: Any = Runtime.get().load_program(path)
        self.method = self.program.load_method("forward")
        sizes = [tuple(self.method.metadata.input_tensor_meta(i).sizes()) for i in range(2)]
        self.longest = int(sizes[0][-1])
        # optimum-executorch's programs take the position of each token, others that of the first.
        self.each = sizes[1][-1] > 1
        if "get_vocab_size" in self.program.method_names:
            self.vocabulary = int(self.program.load_method("get_vocab_size").execute(())[0])

    def step(self, ids: list[int], position: int) -> int:
        torch = self.torch
        at = [*range(position, position + len(ids))] if self.each else [position]
        made = self.method.execute((torch.tensor([ids]), torch.tensor(at)))[0]
        return int(made.reshape(-1, made.shape[-1])[-1].argmax())

    def feed(self, ids: list[int], position: int) -> int:
        token = 0
        for at in range(0, len(ids), self.longest):
            token = self.step(ids[at : at + self.longest], position + at)
        return token

    def prefill(self, ids: list[int], depth: int) -> float:
        self.feed(ids[:depth], 0)
        start = time.perf_counter()
        self.first = self.feed(ids[depth:], depth)
        return time.perf_counter() - start

    def decode(self, ids: list[int], count: int) -> float:
        token, start = self.first, time.perf_counter()
        for position in range(len(ids), len(ids) + count):
            token = self.step([token], position)
        return time.perf_counter() - start


RUNTIME = Program
