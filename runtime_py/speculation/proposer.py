"""What proposes the tokens that may follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime_py.errors import ArgumentError, check_whole, shown

if TYPE_CHECKING:
    from runtime_py.engines.engine import Engine
    from runtime_py.tokenizer import TextTokenizer


class Proposer(ABC):
    """Proposes tokens. Each position is then sampled as without proposals, and a proposed token is
    accepted where it is the sampled one: the answer is that of the plain loop, for a seed too.

    For a proposer that proposes one token per position, this is the rejection sampling of Leviathan
    et al. 2023 (arXiv:2211.17192): the distribution of the answer does not change.

    Args:
        most: tokens that are proposed at once, at most.
        exact: refuse programs that compute several tokens at once in another way than one by one.
            Where false, the answer may differ from the plain loop's where two tokens are almost
            equally likely.

    Raises:
        ArgumentError: a value is out of its range.
    """

    def __init__(self, most: int, *, exact: bool = True) -> None:
        check_whole("most", most, 1)
        if not isinstance(exact, bool):
            raise ArgumentError(f"exact must be true or false, not {shown(exact)}")
        self.most, self.exact = most, exact

    def check(self, program: Engine, tokenizer: TextTokenizer) -> None:  # noqa: B027
        """Raises BundleRuntimeError if it cannot propose tokens of this tokenizer, or to this
        program.
        """

    @abstractmethod
    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Up to ``most`` tokens that may follow ``ids``, the whole text so far; none if it knows
        none.
        """
