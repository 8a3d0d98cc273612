"""A program without a KV cache: every step computes the whole text again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.compat import load_operator_libraries
from runtime_py.engines.engine import PlainEngine
from runtime_py.errors import BundleRuntimeError
from runtime_py.foreign.facts import METHOD, program_facts
from runtime_py.guard import guarded, reason
from runtime_py.native_log import captured_native_log


class WholeText(PlainEngine):
    """tokens [1, S], and a mask [1, S] of ones if the program takes one -> logits [1, S or 1, V].

    Args:
        facts: the manifest's entry ``program``.

    Raises:
        BundleRuntimeError: the program cannot be loaded here.
    """

    name = "executorch"

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        # Of a wrong id ExecuTorch ends the process.
        found = program_facts(path, None).entry
        for key in ("whole_text", "context_length", "vocab_size", "token_dtype", "dynamic_shapes"):
            if facts.get(key) != found.get(key):
                raise BundleRuntimeError(
                    "the program is not the one that the manifest describes: "
                    f"{key} is {found.get(key)}, the manifest has {facts.get(key)}",
                    where=str(path), fix="copy or export the bundle again",
                )  # fmt: skip
        self.path = path
        self.context_length = facts["context_length"]
        self.prefill_length = facts["prefill_length"]
        self.vocab_size = facts["vocab_size"]
        self._pads = not facts["dynamic_shapes"]
        self._mask = facts["whole_text"] == "mask"
        self._dtype = getattr(torch, facts["token_dtype"])
        self._ids: list[int] = []
        with captured_native_log(), guarded("the program cannot be loaded", where=str(path)):
            load_operator_libraries()
            from executorch.runtime import Runtime

            self._program: Any = Runtime.get().load_program(path)
            self._method: Any = self._program.load_method(METHOD)

    @property
    def closed(self) -> bool:
        return self._method is None

    def reset(self, position: int = 0) -> int:
        self._ids = self._ids[:position]
        self.position = len(self._ids)
        return self.position

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        ids = self.checked(tokens)
        whole = [*self._ids, *ids]
        length = self.context_length if self._pads else len(whole)
        fed = torch.tensor([[*whole, *[0] * (length - len(whole))]], dtype=self._dtype)
        inputs = [fed, torch.ones_like(fed)] if self._mask else [fed]
        try:
            logits: Tensor = self._method.execute(inputs)[0]
        except Exception as error:
            raise BundleRuntimeError(
                f"the program failed: {reason(error)}", where=str(self.path)
            ) from None
        self._ids, self.position = whole, len(whole)
        if logits.dim() == 2:  # [1, V] of the last token
            return logits[:, None].float()
        # A program that pads and gives the last logits alone would give those of the padding: such
        # a program is refused when its facts are read.
        rows = logits if logits.shape[1] == 1 else logits[:, : len(whole)][:, -len(ids) :]
        return rows.float()

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        # Each step would compute what is before it again.
        return self.step(tokens)[0, -1]

    def close(self) -> None:
        self._method = self._program = None
        self._ids = []
