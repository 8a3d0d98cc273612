"""How far one answer has come in its constraint."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtime_py.errors import ArgumentError


class TokenConstraint:
    """Which tokens may follow in one answer.

    Args:
        matcher: llguidance's, in its first state.
        tokens: its ``LLTokenizer``.
        eos_ids: tokens that may come only where the answer may end.
        stop_ids: further tokens like that.
        ignore_eos: ``eos_ids`` may come only where nothing else may.
    """

    def __init__(
        self,
        matcher: Any,
        tokens: Any,
        eos_ids: Iterable[int] = (),
        stop_ids: Iterable[int] = (),
        ignore_eos: bool = False,
    ) -> None:
        self._matcher, self._ended = matcher, False
        self._eos, self._stop = frozenset(eos_ids), frozenset(stop_ids)
        # llguidance offers the end where nothing else is left, of an incomplete answer too.
        self._ends = self._eos.union(tokens.eos_tokens)
        self._ignore_eos = ignore_eos
        self._bits = np.zeros((tokens.vocab_size + 31) // 32, dtype=np.int32)

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing can follow."""
        return self._ended or bool(self._matcher.is_stopped())

    def allowed(self, size: int) -> Tensor:
        """[size] bool: which tokens may follow.

        Raises:
            ArgumentError: the constraint is too complex for llguidance, which may turn out only
                in the middle of an answer, or the vocabulary has no token with which it could go
                on.
        """
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        flags = np.unpackbits(self._bits.view(np.uint8), count=size, bitorder="little")
        flags[[token for token in self._ends | self._stop if token < size]] = 0
        if self._matcher.is_accepting():
            flags[[token for token in self._stop if token < size]] = 1
            if not self._ignore_eos or not flags.any():
                flags[[token for token in self._eos if token < size]] = 1
        if not flags.any():
            raise _no_way()
        return torch.from_numpy(flags).view(torch.bool)

    def mask(self, logits: Tensor) -> Tensor:
        """logits [V] -> logits [V], -inf where a token may not follow.

        Raises:
            ArgumentError: as ``allowed``.
        """
        return torch.where(self.allowed(logits.numel()), logits, -math.inf)

    def accept(self, token: int) -> None:
        """Go on with a token.

        Raises:
            ArgumentError: as ``allowed``.
        """
        if token in self._eos or token in self._stop:
            self._ended = True
            return
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        """Tokens that must follow, as the tokenizer writes the text that must; often none. They are
        not accepted yet.
        """
        if self._ended:
            return []
        tokens: list[int] = self._matcher.compute_ff_tokens()
        able = self._matcher.validate_tokens(tokens) if tokens else 0
        # An end within what must follow would end the answer before it is complete.
        ends = (i for i, token in enumerate(tokens) if token in self._ends | self._stop)
        return tokens[: min(able, next(ends, able))]

    def _check(self) -> None:
        if self._matcher.is_error():
            said = self._matcher.get_error().partition("<state>")[0].strip()
            if said.startswith("NoExtension"):
                raise _no_way()
            raise ArgumentError(
                f"the constraint cannot be followed: {said}",
                fix="a simpler schema, regex or grammar",
            )


def _no_way() -> ArgumentError:
    return ArgumentError(
        "no token of the vocabulary can go on with the answer as its constraint asks",
        fix="a constraint that has an answer, in characters that the tokenizer can write",
    )
