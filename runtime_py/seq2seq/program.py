"""An encoder–decoder program, whose decoder's cache holds one sequence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, Cancelled
from runtime_py.token_ids import common_length

Call = Callable[[str, Sequence[Tensor]], list[Tensor]]
"""(method, inputs) -> outputs, which the next call may overwrite; see ``MethodProgram.call``."""


class EncoderDecoder:
    """Encodes a source, and computes logits after sequences of decoder tokens.

    Only tokens that the decoder's cache does not hold at their position are fed.

    Args:
        call: runs the methods ``encoder`` (fills the cross-attention caches) and ``decoder``
            (ids [1, S], input_pos [1]) -> logits [1, V].
        target_length: slots of the decoder's cache.
        step_length: most tokens of a step; all steps of a program with fixed shapes are of 1.

    Attributes:
        fed: tokens in the decoder's cache.
        steps, tokens: calls of the decoder, and tokens fed to it, since the last ``encode``.
        stopped: once set, the next call raises Cancelled.
    """

    def __init__(self, call: Call, target_length: int, step_length: int) -> None:
        self._call, self.target_length, self.step_length = call, target_length, step_length
        self.fed: list[int] = []
        self.steps = self.tokens = 0
        self.stopped: threading.Event | None = None

    def encode(self, inputs: Sequence[Tensor]) -> None:
        """Encode a source: what the decoder attends to from now on."""
        self._check()
        self.fed.clear()
        self.steps = self.tokens = 0
        self._call("encoder", inputs)

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Logits [V] after a sequence of at least one token.

        Raises:
            ArgumentError: the sequence does not fit the decoder's cache.
            Cancelled: ``stopped`` is set.
        """
        if not 0 < len(ids) <= self.target_length:
            raise ArgumentError(
                f"{len(ids)} tokens do not fit the decoder's {self.target_length} positions"
            )
        kept = common_length(self.fed, ids[:-1])
        del self.fed[kept:]
        out: Tensor | None = None
        while len(self.fed) < len(ids):
            self._check()
            start = len(self.fed)
            step = list(ids[start : start + self.step_length])
            made = self._call("decoder", (torch.tensor([step]), torch.tensor([start])))
            self.fed += step
            self.steps, self.tokens, out = self.steps + 1, self.tokens + len(step), made[0]
        assert out is not None
        # The program's memory: the next step overwrites it.
        return out.reshape(-1).to(torch.float32, copy=True)

    def _check(self) -> None:
        if self.stopped is not None and self.stopped.is_set():
            raise Cancelled
