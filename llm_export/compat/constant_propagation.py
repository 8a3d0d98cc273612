"""Which nodes of an edge program ExecuTorch's constant propagation replaces by their values.

Written for executorch 1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, fx
    from torch.export import ExportedProgram


def constant_nodes(program: ExportedProgram) -> dict[fx.Node, Tensor]:
    """Constant placeholders and the nodes that depend on nothing else, in graph order, with their
    values.
    """
    from executorch.exir.passes import constant_prop_pass as exir

    return dict(exir.get_propagated_const_tensor_dict(program, None))
