"""Kinds of work: what an operator does for the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

LINEAR, ATTENTION, MIXER, EMBEDDING = "linear", "attention", "mixer", "embedding"
NORM, PRODUCT, ELEMENTWISE = "norm", "product", "elementwise"
COPY, CACHE = "copy", "cache"
WHOLE, DELEGATE, DISPATCH, RUNTIME = "whole_delegate", "delegate", "dispatch", "runtime"

KINDS = {
    LINEAR: "linear layers",
    ATTENTION: "attention",
    MIXER: "recurrent mixers",
    EMBEDDING: "embedding",
    NORM: "norms",
    PRODUCT: "other products",
    ELEMENTWISE: "elementwise operators",
    COPY: "copies",
    CACHE: "cache writes",
    WHOLE: "delegates that trace no operators",
    DELEGATE: "delegates, between their operators",
    DISPATCH: "between instructions",
    RUNTIME: "inputs and outputs",
}
"""Kind -> its name in tables. The last three are not operators: they are the rest of a delegate's,
a program's and a step's time."""

PRODUCTS = {"linear", "addmm", "mm", "bmm", "matmul", "baddbmm", "convolution", "mixed_linear"}
"""Operators that multiply matrices."""

_COPIES = re.compile(
    r"^(view|permute|transpose|t|split|split_with_sizes|slice|select|unsqueeze|squeeze|expand|repeat"
    r"|clone|cat|stack|copy|_to|to|_to_dim_order|_clone_dim_order|et_view|alias|detach|as_strided"
    r"|unbind|chunk|narrow)(_copy)?_?$"
)
_CACHES = re.compile(r"update_cache|index_put|index_copy")
_ATTENTION = re.compile(r"sdpa|scaled_dot_product_attention")
_MIXERS = re.compile(r"mamba|delta|ssm|shortconv|causal_?conv|recurren|mixer", re.I)


def kind_of(operator: str, classes: Sequence[str], *, weighted: bool = False) -> str:
    """The kind of an operator.

    Args:
        operator: namespace::name.
        classes: names of the classes of the modules that contain it, the outermost first.
        weighted: whether it multiplies with a matrix that is a parameter.
    """
    name = operator.rpartition("::")[2]
    if _ATTENTION.search(name):
        return ATTENTION
    if "embedding" in name:
        return EMBEDDING
    if name in PRODUCTS and (weighted or (classes and "Linear" in classes[-1])):
        return LINEAR
    if classes and classes[-1].lower().endswith("norm"):
        return NORM
    if _CACHES.search(name):
        return CACHE
    if _COPIES.match(name):
        return COPY
    if any(map(_MIXERS.search, classes)):
        return MIXER
    attends = any("attention" in c.lower() or c.endswith("Attn") for c in classes)
    if attends and name in {"bmm", "matmul", "_softmax", "softmax", "baddbmm"}:
        return ATTENTION
    return PRODUCT if name in PRODUCTS else ELEMENTWISE
