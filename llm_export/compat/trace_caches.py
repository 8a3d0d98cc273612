"""Caches of torch and ExecuTorch that hold lowered graphs for as long as the process lives.

None has a public way to empty it, and each holds all bytes of the program that was lowered last.
Written for torch 2.13 and executorch 1.5.
"""

from __future__ import annotations

import gc


def forget_traces() -> None:
    """Empty the caches."""
    from executorch.exir.backend.utils import WhyNoPartition, is_same_node
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    is_same_node.cache_clear()
    FakeTensorMode.cache_clear()
    for thing in gc.get_objects():
        if type(thing) is ShapeEnv:
            thing.fake_tensor_cache.clear()
        elif type(thing) is WhyNoPartition:
            thing.node = None  # the last node that a partitioner refused
