"""Parts of ``torch.export.ExportedProgram`` that have no setter.

A pass returns a graph with another signature; building a program anew would verify and copy it.
Written for torch 2.13.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature


def set_signature(program: ExportedProgram, signature: ExportGraphSignature) -> None:
    program._graph_signature = signature


def over(
    program: ExportedProgram, state: Mapping[str, Any], constants: Mapping[str, Tensor]
) -> ExportedProgram:
    """The same graph with another state dict and other constants; nothing is copied."""
    made = copy.copy(program)
    made._state_dict = dict(state)
    made._constants = dict(constants)
    return made
