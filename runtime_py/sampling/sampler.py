"""Choose the next token, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.sampling.distribution import distribution, draw
from runtime_py.sampling.penalties import Penalties
from runtime_py.sampling.settings import Sampling
from runtime_py.sampling.threads import one_thread

LogitsProcessor = Callable[[list[int], Tensor], Tensor]
"""(ids of prompt and answer so far, logits [V] float32) -> logits [V]."""

_GREEDY = 1e-4
"""Temperature below which the division would overflow."""


class Sampler:
    """Samples token ids; reproducible for a seed, and independent of torch's global generator.

    Args:
        seen: ids of the prompt.
        never: ids that are not sampled.
        bias: id -> what is added to its logit.
        processor: applied to the logits before all else, on a copy of them.
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int | None = None,
        seen: Iterable[int] = (),
        never: Tensor | None = None,
        bias: Mapping[int, float] | None = None,
        processor: LogitsProcessor | None = None,
    ) -> None:
        self._s = sampling
        self._processor, self._ids = processor, list(seen)
        self._changed = bool(bias) or processor is not None
        self._penalties = Penalties(sampling, self._ids, never, bias)
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """logits [V] -> id, which counts as part of the answer from now on.

        Raises:
            BundleRuntimeError: no logit is a finite number.
            ArgumentError: the processor returned something else than logits [V].
        """
        scores = self._scores(logits)
        with one_thread():
            token = self._chosen(scores)
            self._penalties.add(token)
        self._ids.append(token)
        return token

    def take(self, token: int) -> int:
        """Count a token that was not sampled as part of the answer."""
        with one_thread():
            self._penalties.add(token)
        self._ids.append(token)
        return token

    def _chosen(self, scores: Tensor) -> int:
        if not bool(torch.isfinite(scores.max())):
            own = "a logit_bias and logits_processor that leave tokens to sample"
            raise BundleRuntimeError(
                "no logit that may be sampled is a finite number",
                fix=own if self._changed else "llm-export verify BUNDLE; then export it again",
            )
        if self._s.temperature < _GREEDY:
            return int(torch.argmax(scores))
        probabilities, ids = distribution(scores, self._s)
        drawn = draw(probabilities, self._generator)
        return drawn if ids is None else int(ids[drawn])

    def probabilities(self, logits: Tensor) -> Tensor:
        """logits [V] -> probabilities [V] from which the next token is drawn. With a temperature of
        0, all of it is the most likely token's.
        """
        scores = self._scores(logits)
        whole = torch.zeros_like(scores)
        if self._s.temperature < _GREEDY:
            whole[torch.argmax(scores)] = 1
            return whole
        probabilities, ids = distribution(scores, self._s)
        probabilities = probabilities / probabilities.sum()
        return probabilities if ids is None else whole.scatter_(0, ids, probabilities)

    def _scores(self, logits: Tensor) -> Tensor:
        if self._processor is not None:
            given = self._processor(list(self._ids), logits.float().clone())
            if not isinstance(given, Tensor) or given.shape != logits.shape:
                what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise ArgumentError(
                    f"logits_processor must return logits of shape {tuple(logits.shape)}, "
                    f"not {what}"
                )
            logits = given
        with one_thread():
            return self._penalties(logits)
