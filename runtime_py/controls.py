"""Settings of an answer beside those of sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from runtime_py.answer_format import AnswerFormat
from runtime_py.constraints import Constraint
from runtime_py.errors import ArgumentError, shown
from runtime_py.sampling.logprobs import check_top
from runtime_py.sampling.sampler import LogitsProcessor
from runtime_py.speculation.proposer import Proposer


@dataclass(frozen=True)
class Controls:
    """
    Attributes:
        stop_ids: tokens that end the answer, beside the model's own; they have no text.
        ignore_eos: go on behind the model's own end.
        logit_bias: token id -> what is added to its logit; -inf rules it out.
        logprobs: number of most likely tokens whose log-probabilities are given with those of each
            token of the answer; None: no log-probabilities.
        constraint: what the answer may be (``runtime_py.constraints``). Tokens that may not follow
            are ruled out after the bias, the penalties and the processor. When nothing can follow,
            ``finish`` is eos, without an end token.
        logits_processor: takes the ids of prompt and answer so far, and the logits [V] as float32,
            and returns the logits that are sampled from.
        speculate: proposes tokens that are checked several at a time; the answer stays the same.
        answer_format: how reasoning and calls of tools are parsed; chat finds it by the template.
            ``AnswerFormat()`` leaves all of the answer in its text.
        thinking_budget: tokens of reasoning after which it is ended; None: no limit.
    """

    stop_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    logits_processor: LogitsProcessor | None = None
    constraint: Constraint | None = None
    speculate: Proposer | None = None
    answer_format: AnswerFormat = field(default_factory=AnswerFormat)
    thinking_budget: int | None = None

    @classmethod
    def checked(
        cls, stop_ids: Any = (), ignore_eos: Any = False, logit_bias: Any = None,
        logprobs: Any = None, logits_processor: Any = None, constraint: Any = None,
        speculate: Any = None,
        answer_format: Any = None, thinking_budget: Any = None,
    ) -> Controls:  # fmt: skip
        """
        Raises:
            ArgumentError: an argument has the wrong type or value.
        """
        if not isinstance(ignore_eos, bool):
            raise ArgumentError(f"ignore_eos must be true or false, not {shown(ignore_eos)}")
        if logprobs is not None:
            check_top("logprobs", logprobs)
        if logits_processor is not None and not callable(logits_processor):
            raise ArgumentError(
                f"logits_processor must be a function, not {type(logits_processor).__name__}"
            )
        if constraint is not None and not isinstance(constraint, Constraint):
            raise ArgumentError(
                "constraint must be a JsonSchema, Regex, Grammar or Choice, not "
                f"{shown(constraint)}",
                fix="constraint=JsonSchema({...}), of runtime_py.constraints",
            )
        if speculate is not None and not isinstance(speculate, Proposer):
            raise ArgumentError(
                f"speculate must be a proposer of tokens, not {type(speculate).__name__}",
                fix="speculate=PromptLookup(), of runtime_py.speculation",
            )
        answer_format = AnswerFormat() if answer_format is None else answer_format
        if not isinstance(answer_format, AnswerFormat):
            raise ArgumentError(
                f"answer_format must be an AnswerFormat, not {shown(answer_format)}"
            )
        if thinking_budget is not None and (
            type(thinking_budget) is not int or thinking_budget < 0
        ):
            raise ArgumentError(
                f"thinking_budget must be a whole number of tokens, not {shown(thinking_budget)}"
            )
        return cls(
            _ids(stop_ids), ignore_eos, _bias(logit_bias), logprobs, logits_processor,
            constraint, speculate, answer_format, thinking_budget,
        )  # fmt: skip

    def check_vocabulary(self, size: int) -> None:
        """Raises ArgumentError if a token that the caller names is not among ``size`` tokens."""
        for name, tokens in (("logit_bias", self.logit_bias), ("stop_ids", self.stop_ids)):
            wrong = next((token for token in tokens if not 0 <= token < size), None)
            if wrong is not None:
                raise ArgumentError(
                    f"{name} has the token {wrong}; the program has {size} tokens",
                    fix=f"ids from 0 to {size - 1}",
                )


CONTROLS = tuple(each.name for each in fields(Controls))
"""Names of the controls."""


def _ids(given: Any) -> frozenset[int]:
    if given is None:
        return frozenset()
    several = given if isinstance(given, Sequence | set | frozenset) else (given,)
    if isinstance(given, str | bytes) or any(type(token) is not int for token in several):
        raise ArgumentError(f"stop_ids must be token ids, not {shown(given)}")
    return frozenset(several)


def _bias(given: Any) -> dict[int, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentError(f"logit_bias must map token ids to numbers, not {shown(given)}")
    for token, value in given.items():
        if type(token) is not int or isinstance(value, bool) or not isinstance(value, int | float):
            raise ArgumentError(
                f"logit_bias must map token ids to numbers, not {shown(token)} to {shown(value)}"
            )
        if not (abs(value) <= 1e30 or value == -math.inf):
            raise ArgumentError(
                f"logit_bias must be from -1e30 to 1e30, or -inf, not {shown(value)}"
            )
    return {token: float(value) for token, value in given.items()}
