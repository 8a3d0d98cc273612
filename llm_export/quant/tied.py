"""Tied embeddings: one set of integers for embedding and output head, or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_export.config.quant_schema import TiedKind
from llm_export.errors import RecipeError
from llm_export.quant.layer_spec import LayerQuantSpec, one_for_both

if TYPE_CHECKING:
    from llm_export.models.contract import LanguageModel
    from llm_export.models.programs.task_model import TaskModel

_KEY = "quant.tied"


def share_table(
    model: LanguageModel | TaskModel,
    choices: Sequence[LayerQuantSpec],
    wanted: TiedKind,
    *,
    raw_weights: bool,
) -> tuple[list[LayerQuantSpec], str | None]:
    """Let a tied embedding use the integers of the output head.

    Args:
        raw_weights: whether the backend stores weights unchanged, so that an embedding of the
            same bytes need not be stored again; or else its delegates may (``with_head``).

    Returns:
        The specs, and a message about the tie; None for a model without tied weights.

    Raises:
        RecipeError: sharing is required but impossible.
    """
    if not model.metadata.tied_embeddings:
        if wanted is TiedKind.share:
            raise not_tied()
        return list(choices), None
    why_not = "quant.tied=untied" if wanted is TiedKind.untied else None
    made, words = list(choices), []
    for table_name, head_name in _pairs(model):
        table, head = (next(c for c in choices if c.name == n) for n in (table_name, head_name))
        obstacle = why_not or _obstacle(model, table, head, raw_weights)
        if obstacle is None:
            shared = replace(table, shared_with=head.name)
            made = [shared if c is table else c for c in made]
            words.append(_SHARED.format(table=table, head=head))
        elif wanted is TiedKind.share:
            raise _not_shared(obstacle)
        else:
            words.append(f"{_APART.format(table=table, head=head)}: {obstacle}")
    return made, "; ".join(words)


_SHARED = "stored once: table ({table.scheme}) and output matrix ({head.scheme}) share it"
_APART = (
    "stored twice, as a table to look up ({table.scheme}) and as the output matrix ({head.scheme})"
)


def _pairs(model: LanguageModel | TaskModel) -> list[tuple[str, str]]:
    """Names of the table and the output matrix, or of their parts."""
    from llm_export.models.components.row_parts import FIRST, REST, SplitHead

    tables = {name for name, m in model.named_modules() if m is model.input_embedding()}
    head = model.head_name
    if isinstance(model.get_submodule(head), SplitHead):
        return [(f"{name}.{part}", f"{head}.{part}") for name in tables for part in (FIRST, REST)]
    return [(name, head) for name in tables]


def not_tied() -> RecipeError:
    """``quant.tied=share`` of a model with two matrices."""
    return RecipeError(
        "the model's embedding is not tied to its output matrix", where=_KEY, fix=f"{_KEY}=auto"
    )


def parted() -> RecipeError:
    """``quant.tied=share`` of a model that a rotation unties."""
    return RecipeError(
        "the rotation takes the mean, which the model's layer norms subtract, out of the "
        "embedding, and the output matrix needs it",
        where=_KEY, fix=f"{_KEY}=auto, or quant.rotate.r1=false",
    )  # fmt: skip


def require_shareable(table: LayerQuantSpec, head: LayerQuantSpec, *, raw_weights: bool) -> None:
    """Raises RecipeError if the schemes of a tied embedding and output matrix, or the backend,
    exclude ``quant.tied=share``."""
    why_not = _apart(table, head, raw_weights)
    if why_not is not None:
        raise _not_shared(why_not)


def _not_shared(why_not: str) -> RecipeError:
    return RecipeError(
        f"table and output matrix cannot be one: {why_not}", where=_KEY,
        fix=f"{_KEY}=auto stores both; or give both kinds schemes of as many bits and the same "
        "group_size",
    )  # fmt: skip


def _apart(table: LayerQuantSpec, head: LayerQuantSpec, raw_weights: bool) -> str | None:
    if not raw_weights and not table.with_head:
        return "the backend stores matrices in a form of its own"
    return one_for_both(table, head)


def _obstacle(
    model: LanguageModel | TaskModel, table: LayerQuantSpec, head: LayerQuantSpec, raw_weights: bool
) -> str | None:
    import torch

    why_not = _apart(table, head, raw_weights)
    if why_not is not None:
        return why_not
    mine, yours = (model.get_submodule(c.name).weight for c in (table, head))
    if mine is not yours and not torch.equal(mine, yours):  # type: ignore[arg-type]
        return "a transform has rescaled the output matrix"
    return None


def tied_names(
    model: LanguageModel,
    wanted: TiedKind,
    choices: Sequence[LayerQuantSpec] = (),
    *,
    raw_weights: bool,
) -> tuple[str, str] | None:
    """Names of embedding and output head if the file is to store them once, as far as known before
    their schemes are.

    Args:
        choices: what is known of their schemes; without raw weights these decide.
    """
    if not model.metadata.tied_embeddings or wanted is TiedKind.untied:
        return None
    head, table = model.get_submodule(model.head_name), model.input_embedding()
    if head.weight is not table.weight:
        return None
    names = next(name for name, m in model.named_modules() if m is table), model.head_name
    if raw_weights:
        return names
    one, other = (next((c for c in choices if c.name == name), None) for name in names)
    if one is None or other is None or not one.with_head:
        return None
    return names if one_for_both(one, other) is None else None
