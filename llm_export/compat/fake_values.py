"""torch's trees of values, for the fake results of operators in graphs.

``torch.utils._pytree`` is what torch's own passes use and has no public name. Written for
torch 2.13.
"""

from __future__ import annotations

from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["tree_leaves", "tree_map"]
