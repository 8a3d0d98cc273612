"""A model under evaluation as lm-evaluation-harness sees models (``lm_eval.api.model.TemplateLM``).

Texts are encoded as the harness's own model of transformers encodes them, and texts longer than the
context lose their beginning, as there. Generation is greedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from llm_export.evaluation.base import Request, Subject
from llm_export.evaluation.generation import greedy
from runtime_py.errors import BundleRuntimeError

_MOST = 256
"""Tokens to generate where a task names no number, as the harness has it."""

Encoded = tuple[tuple[str, str], list[int], list[int]]
"""((context, continuation), their ids)"""


class HarnessModel(TemplateLM):
    def __init__(self, subject: Subject, request: Request) -> None:
        super().__init__()
        self._subject, self._request = subject, request
        self._tokenizer = request.tokenizer

    @property
    def max_length(self) -> int:
        return self._subject.context_length

    @property
    def eot_token_id(self) -> int:
        return min(self._tokenizer.eos_ids, default=0)

    @property
    def prefix_token_id(self) -> int:
        bos = self._tokenizer.bos_id
        return self.eot_token_id if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return str(self._request.tokenizer_file)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        return self._tokenizer.encode(string, raw=add_special_tokens is not False)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        template = self._request.template
        if template is None:
            raise BundleRuntimeError("the bundle has no chat template: it is a base model")
        return template.render(chat_history, add_generation_prompt=add_generation_prompt)

    def _loglikelihood_tokens(
        self, requests: list[Encoded], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Texts with the same beginning follow each other, so that a cache is used again."""
        found: dict[int, tuple[float, bool]] = {}
        order = sorted(range(len(requests)), key=lambda i: (requests[i][1], requests[i][2]))
        for done, index in enumerate(order, start=1):
            _, context, continuation = requests[index]
            found[index] = self._score(context, continuation)
            self._request.progress(done, len(order))
        return [found[index] for index in range(len(requests))]

    def _score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
        """(log-likelihood in nats, whether each token is the most likely one)."""
        if not continuation:
            return 0.0, True
        fed = [*context, *continuation][-(self.max_length + 1) : -1]
        total, best, at = 0.0, True, 0
        for rows in self._subject.rows(fed, max(0, len(fed) - len(continuation))):
            targets = torch.tensor(list(continuation[-len(fed) :])[at : at + len(rows)])
            log_p = torch.log_softmax(rows.double(), -1)
            total += float(log_p.gather(1, targets[:, None]).sum())
            best = best and bool((rows.argmax(-1) == targets).all())
            at += len(rows)
        return total, best

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        totals = []
        for done, request in enumerate(requests, start=1):
            (text,) = request.args
            pairs = get_rolling_token_windows(
                token_list=self.tok_encode(text), prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length, context_len=1,
            )  # fmt: skip
            totals.append(sum(self._score(*make_disjoint_window(pair))[0] for pair in pairs))
            self._request.progress(done, len(requests))
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        answers = []
        for done, request in enumerate(requests, start=1):
            context, settings = request.args
            answers.append(self._answer(context, dict(settings)))
            self._request.progress(done, len(requests))
        return answers

    def _answer(self, context: str, settings: dict[str, Any]) -> str:
        until = settings.get("until") or []
        stops = [until] if isinstance(until, str) else [stop for stop in until if stop]
        most = int(settings.get("max_gen_toks", _MOST))
        room = max(1, self.max_length - most)
        decode = self._tokenizer.decode
        made = greedy(
            self._subject, self.tok_encode(context)[-room:], most=most,
            ends=self._tokenizer.eos_ids,
            stopped=lambda ids: any(stop in decode(ids) for stop in stops),
        )  # fmt: skip
        text = decode(made)
        for stop in stops:
            text = text.partition(stop)[0]
        return text
