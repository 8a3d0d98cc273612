"""What an answer may be."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any


class Constraint(ABC):
    """What an answer may be. Every answer has a state of its own in it: one object serves any
    number of answers, of any model.
    """

    @abstractmethod
    def rule(self) -> dict[str, Any]:
        """An entry of ``grammars`` in llguidance's JSON, without a name."""

    def grammar_for(self, special: Mapping[str, int]) -> str:
        """``grammar`` with the special tokens of a model: text -> id."""
        return self.grammar

    @cached_property
    def grammar(self) -> str:
        """JSON of llguidance's ``TopLevelGrammar``."""
        return json.dumps({"grammars": [self.rule()]})
