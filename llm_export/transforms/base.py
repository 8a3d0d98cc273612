"""The transform interface: change a module and check the result."""

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
    """``apply`` changes the module in place and returns the number of changed places.

    ``check`` raises PostConditionError if the result is not as specified; ``check_graph`` does the
    same for the exported graph module.
    """

    name: str
    apply: Callable[[nn.Module], int]
    check: Callable[[nn.Module], None]
    check_graph: Callable[[Any], None] = lambda graph_module: None


def run_transform(transform: Transform, model: nn.Module) -> int:
    """Apply and check. A transform that changes nothing is an error.

    Raises:
        PostConditionError: nothing changed, or the check failed.
    """
    changed = transform.apply(model)
    if not changed:
        raise PostConditionError(f"transform '{transform.name}' found nothing to change")
    transform.check(model)
    return changed


def count_calls(graph_module: Any, fragment: str) -> int:
    """Number of nodes whose operator name contains ``fragment``, including functionalized ones."""
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
    """A transform that a recipe can name.

    The float model must stay equivalent: verification compares the program with the model as
    stored in its checkpoint. ``transforms.equivalence`` makes this a post-condition.

    Attributes:
        make: (options, recipe) -> the transform, with its post-condition.
        options: a dataclass: the keys of ``runtime.transform_options.NAME``, with defaults; its
            ``__post_init__`` raises ValueError on what cannot be.
        definitions: model definitions whose modules it supports.
    """

    make: Callable[[Any, Recipe], Transform]
    options: type[Any] = NoOptions
    definitions: frozenset[str] = frozenset({"composable"})
