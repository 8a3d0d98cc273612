"""Propose what a smaller model would say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.sampling import Sampling
from runtime_py.speculation.proposer import Proposer

if TYPE_CHECKING:
    from runtime_py.engines.engine import Engine
    from runtime_py.llm import LLM
    from runtime_py.tokenizer import TextTokenizer


class DraftModel(Proposer):
    """The most likely tokens of another loaded bundle with the same tokenizer (Leviathan et al.
    2023, arXiv:2211.17192). Its KV cache follows the text; what it held before is lost.

    Args:
        draft: the bundle, ``LLM.load`` of a smaller or more quantized model.
        most, exact: of ``Proposer``.
    """

    def __init__(self, draft: LLM, *, most: int = 5, exact: bool = True) -> None:
        from runtime_py.llm import LLM

        super().__init__(most, exact=exact)
        if not isinstance(draft, LLM):
            raise ArgumentError(
                f"draft must be a loaded bundle, not {type(draft).__name__}",
                fix="DraftModel(LLM.load(PATH))",
            )
        self.draft = draft

    def check(self, program: Engine, tokenizer: TextTokenizer) -> None:
        if self.draft.engine is program:
            raise BundleRuntimeError(
                "a bundle cannot be its own draft: its cache holds one text at a time",
                fix="load the draft by an LLM.load of its own",
            )
        if (differs := tokenizer.difference(self.draft.tokenizer)) is not None:
            raise BundleRuntimeError(
                f"the draft has another tokenizer: {differs}",
                where=str(self.draft.bundle.path), fix="a draft of the same family of models",
            )  # fmt: skip

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        program = self.draft.engine
        most = min(most, program.context_length - len(ids))
        known = program.vocab_size is None or max(ids) < program.vocab_size
        if most < 1 or not known:
            return []
        greedy = Sampling(max_new_tokens=most)
        return self.draft.generate(list(ids), sampling=greedy, ignore_eos=True).tokens
