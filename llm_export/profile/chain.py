"""The instructions of a method, as ExecuTorch emitted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DELEGATE_CALL = "delegate"
"""Stands for the operator of an instruction that calls a delegate."""


@dataclass(frozen=True)
class Chain:
    """
    Attributes:
        operators: index of an instruction -> namespace::name of the operator that it calls.
        jumps: index of a conditional jump -> where it goes if the condition is false.
    """

    operators: Mapping[int, str]
    jumps: Mapping[int, int]

    @classmethod
    def of(cls, plan: Any) -> Chain:
        """Of an ``ExecutionPlan`` of ExecuTorch's schema."""
        operators, jumps = {}, {}
        for index, instruction in enumerate(plan.chains[0].instructions):
            what = instruction.instr_args
            if hasattr(what, "delegate_index"):
                operators[index] = DELEGATE_CALL
            elif hasattr(what, "op_index"):
                operators[index] = plan.operators[what.op_index].name
            elif hasattr(what, "destination_instruction"):
                jumps[index] = what.destination_instruction
        return cls(operators, jumps)

    def branches(self, after: int) -> tuple[tuple[int, int], int]:
        """Where the two branches of the first ``cond`` at or after an instruction begin, and where
        it ends. A cond is a jump over the first branch, the branch, a jump over the second one that
        is always taken, and the second one.
        """
        jump = min(index for index in self.jumps if index >= after)
        second = self.jumps[jump]
        return (jump + 1, second), self.jumps[second - 1]
