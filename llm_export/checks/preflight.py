"""Preflight: check a recipe on this machine without starting a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_export.amounts import amount
from llm_export.checkpoints.hub import cached_snapshot
from llm_export.checks.arm import arm_note
from llm_export.checks.problem import Problem
from llm_export.checks.rules import find_problems
from llm_export.checks.scaled_groups import group_problems
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.errors import InputError, LlmExportError, MissingDependencyError
from llm_export.free_memory import available_memory
from llm_export.models.task import definition_of
from llm_export.output.claim import require_claimable
from llm_export.predict.available_resources import free_disk, require_room
from llm_export.predict.cost import Prediction, predict
from llm_export.predict.size import bytes_of_outliers, is_here, program_bytes
from llm_export.resolve.recipe import ResolvedRecipe, fill_in, resolve


@dataclass
class Preflight:
    """Result of the preflight checks.

    Attributes:
        problems: all problems, of the recipe and of the machine.
        model: text on how the model and its checkpoint match; empty if that was not checked.
        expected: time, memory and disk of a run; None for models of other definitions than
            the fast tier's.
        program: expected bytes of the .pte; None if shapes are not known before loading.
        resolved: the resolved recipe; None if the recipe is wrong.
        notes: what else the user should know of the checkpoint.
    """

    problems: list[Problem] = field(default_factory=list)
    model: str = ""
    expected: Prediction | None = None
    program: int | None = None
    resolved: ResolvedRecipe | None = None
    notes: list[str] = field(default_factory=list)


def preflight(recipe: Recipe, out: Path | None, *, build: bool = True) -> Preflight:
    """Check the rules across groups, the model on the meta device, the tensor names and shapes of
    a local checkpoint, the backends, and free memory and disk space.

    Args:
        out: output folder of the bundle; None looks neither at it nor at memory and disk.
        build: whether to build the model, which imports torch.
    """
    found = Preflight(find_problems(recipe, build=build))
    wrong = {p.key.partition(".")[0] for p in found.problems}
    if "model" not in wrong:
        _look_at_model(recipe, found, build=build)
    if all(p.environment for p in found.problems):
        found.resolved = resolve(recipe)
        found.expected = predict(found.resolved, build=build)
        if build or found.resolved.definition.outline is None:
            found.program = program_bytes(found.resolved)
            found.notes += _outlier_note(found.resolved)
        else:
            found.notes.append("its matrices and size are looked at without --quick")
        found.notes += filter(None, [arm_note(found.resolved)])
        if build:
            found.problems += group_problems(found.resolved)
            _look_at_tokenizer(found.resolved.recipe, found)
        sound = out is None or _look_at_output(found, out)
        if out is not None and sound:
            _look_at_room(found, out)
    elif out is not None:
        _look_at_output(found, out)
    return found


def _outlier_note(resolved: ResolvedRecipe) -> list[str]:
    further = bytes_of_outliers(resolved)
    if not further:
        return []
    return [
        f"outlier_ratio: up to {amount(further)} more in model.pte, with outlier channels in "
        "every linear; the calibration text decides"
    ]


def _look_at_model(recipe: Recipe, found: Preflight, *, build: bool) -> None:
    definition = definition_of(recipe.model)
    validate = definition.validate_checkpoint
    if validate is None or not build:
        return
    source = recipe.checkpoint
    sound = not any(p.key.startswith("checkpoint") for p in found.problems)
    here = near(source) if sound else None
    try:
        whole, _ = fill_in(replace(recipe, checkpoint=here or source), definition)
        found.model = validate(whole, here is not None)
    except LlmExportError as error:
        lacking = isinstance(error, MissingDependencyError)
        problem = Problem(error.what, error.where or "checkpoint",
                          error.fix or "another checkpoint", environment=lacking)  # fmt: skip
        if problem.what not in [known.what for known in found.problems]:
            found.problems.append(problem)
        return
    if here is None and source.random_seed is None:
        found.model += "; the checkpoint is not here yet, and is looked at when it is"


def _look_at_tokenizer(recipe: Recipe, found: Preflight) -> None:
    """Tokenizer, texts and chat template of a checkpoint that is here."""
    here = near(recipe.checkpoint)
    if here is None and recipe.checkpoint.random_seed is None:
        return
    from llm_export.checks.checkpoint_text import tokenizer_facts

    local = replace(recipe, checkpoint=here or recipe.checkpoint)
    problems, notes = tokenizer_facts(local, _vocab_size(recipe))
    found.problems += problems
    found.notes += notes


def _vocab_size(recipe: Recipe) -> int | None:
    """Rows of the embedding, which some configs leave to the library; None: not known yet."""
    stated = recipe.model.config.get("vocab_size")
    if isinstance(stated, int):
        return stated
    outline = definition_of(recipe.model).outline
    try:
        model = None if outline is None else outline(recipe)
    except LlmExportError:  # reported with the model
        return None
    return None if model is None else model.metadata.vocab_size


def near(source: CheckpointConfig) -> CheckpointConfig | None:
    """The checkpoint as a local one; None if it is not downloaded yet, or if the weights are
    random."""
    if source.path is not None:
        return source
    if source.hf_id is not None:
        folder = cached_snapshot(source.hf_id, source.revision) if is_here(source) else None
        return None if folder is None else replace(source, path=str(folder))
    return source if source.package is not None and is_here(source) else None


def _look_at_output(found: Preflight, out: Path) -> bool:
    """Whether a run may write its bundle there."""
    try:
        require_claimable(out)
    except InputError as error:
        what = f"{error.what} ({error.where})" if error.where else error.what
        found.problems.append(Problem(what, "out", error.fix or "another out=FOLDER"))
        return False
    return True


def _look_at_room(found: Preflight, out: Path) -> None:
    if found.expected is None:
        return
    try:
        require_room(
            found.expected, memory=available_memory(), disk=free_disk(out.absolute()), folder=out
        )
    except MissingDependencyError as error:
        found.problems.append(
            Problem(error.what, error.where or "", error.fix or "", environment=True)
        )
