"""A transform changes a module and proves that it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Transform:
    """``apply`` changes the module in place and returns how many places it changed.

    ``check`` raises PostConditionError if the module is not as promised; ``check_graph``
    does the same for the exported graph module.
    """

    name: str
    apply: Callable[[nn.Module], int]
    check: Callable[[nn.Module], None]
    check_graph: Callable[[Any], None] = lambda graph_module: None


def run_transform(transform: Transform, model: nn.Module) -> int:
    """Apply and check. A transform that changes nothing is an error.

    Raises:
        PostConditionError: nothing changed, or the promise does not hold.
    """
    changed = transform.apply(model)
    if not changed:
        raise PostConditionError(f"transform '{transform.name}' found nothing to change")
    transform.check(model)
    return changed


def count_calls(graph_module: Any, fragment: str) -> int:
    """Nodes of a graph whose operator name contains ``fragment``, functionalized ones too."""
    count = 0
    for node in graph_module.graph.nodes:
        if node.op == "call_function" and (
            fragment in str(node.target) or any(fragment in str(a) for a in node.args[:1])
        ):
            count += 1
    return count


@dataclass(frozen=True)
class NoOptions:
    """A transform without options."""


@dataclass(frozen=True)
class NamedTransform:
    """How to make a transform for a recipe.

    The float model is to compute the same afterwards: verification compares the program with
    the model as its checkpoint has it. ``transforms.equivalence`` makes that a post-condition.

    Attributes:
        make: (options, recipe) -> the transform, with its post-condition.
        options: a dataclass: the keys of ``runtime.transform_options.NAME``, with defaults; its
            ``__post_init__`` raises ValueError on what cannot be.
        definitions: model definitions whose modules it knows.
    """

    make: Callable[[Any, Recipe], Transform]
    options: type[Any] = NoOptions
    definitions: frozenset[str] = frozenset({"composable"})
