"""Constraints for the tokens of one tokenizer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.library import llguidance
from runtime_py.constraints.vocabulary import tokens_of
from runtime_py.errors import ArgumentError

if TYPE_CHECKING:
    from runtime_py.constraints.token_constraint import TokenConstraint
    from runtime_py.tokenizer import TextTokenizer

_KEPT = 32
"""Most grammars that are kept compiled, the last used."""


class Compiler:
    """Compiles constraints for one tokenizer, each once. The tokenizer's own tables, which take
    longest, are made for the first one.

    Args:
        vocab_size: number of token ids of the program; None: as the tokenizer says.
    """

    def __init__(self, tokenizer: TextTokenizer, vocab_size: int | None) -> None:
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        self._matchers: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def start(
        self, constraint: Constraint, stop_ids: Iterable[int] = (), ignore_eos: bool = False
    ) -> TokenConstraint:
        """The constraint at the beginning of an answer.

        Raises:
            ArgumentError: it names special tokens that the tokenizer does not have, or no answer
                satisfies it.
            BundleRuntimeError: llguidance is not installed, or does not know this tokenizer.
        """
        from runtime_py.constraints.token_constraint import TokenConstraint

        with self._lock:
            matcher = self._compiled(constraint.grammar_for(self._special)).deep_copy()
        eos = self._tokenizer.eos_ids
        return TokenConstraint(matcher, self._tokens, eos, stop_ids, ignore_eos)

    def _compiled(self, grammar: str) -> Any:
        from runtime_py.constraints.token_constraint import TokenConstraint

        if grammar in self._matchers:
            self._matchers.move_to_end(grammar)
            return self._matchers[grammar]
        matcher = llguidance().LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise ArgumentError(
                f"the constraint does not fit this model: {matcher.get_error().strip()}",
                fix="special tokens of this model's tokenizer",
            )
        first = TokenConstraint(matcher.deep_copy(), self._tokens, self._tokenizer.eos_ids)
        first.allowed(self._vocab_size or self._tokens.vocab_size)
        self._matchers[grammar] = matcher
        if len(self._matchers) > _KEPT:
            self._matchers.popitem(last=False)
        return matcher

    @cached_property
    def _tokens(self) -> Any:
        return tokens_of(self._tokenizer, self._vocab_size)

    @cached_property
    def _special(self) -> dict[str, int]:
        """Text -> id of the tokens that only a rule of their own allows. To llguidance, they are
        also those that were added to the vocabulary as text and look like ``<NAME>``.
        """
        added = self._tokenizer.added()
        return {
            text: token for text, token in added.items() if self._tokens.is_special_token(token)
        }
