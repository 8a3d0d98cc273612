"""What an answer may be."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py.tokenizer import TextTokenizer


class Constraint(ABC):
    """What an answer may be. Every answer has a state of its own in it: one object serves any
    number of answers, of any model.
    """

    @abstractmethod
    def rule(self) -> dict[str, Any]:
        """An entry of ``grammars`` in llguidance's JSON, without a name."""

    def grammar_for(self, tokenizer: TextTokenizer) -> str:
        """``grammar`` with the special tokens of a model."""
        return self.grammar

    @cached_property
    def grammar(self) -> str:
        """JSON of llguidance's ``TopLevelGrammar``."""
        return json.dumps({"grammars": [self.rule()]})
