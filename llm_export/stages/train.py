"""Quantization-aware training of the float model."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace

import torch
from torch import Tensor

from llm_export.checkpoints.cache import cache_dir
from llm_export.config.schema import Recipe, filled
from llm_export.config.train_schema import TrainConfig, TrainLoss
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Prepared
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import Flow
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.training.checkpoint import CheckpointFile
from llm_export.stages.training.loop import fit
from llm_export.stages.training.losses import Forward, Loss, cross_entropy, distillation
from llm_export.stages.training.qat import train_form
from llm_export.stages.training.settings import LoopSettings
from llm_export.stages.training.student import Student, captured, eager, forward_of
from llm_export.stages.training.text import training_windows
from llm_export.versions import package_versions

# Number of windows to calibrate static quantization ranges before training.
_OBSERVED = 16


def train(artifact: Prepared, resolved: ResolvedRecipe, ctx: RunContext) -> Prepared:
    """Quantization-aware training, if the recipe enables it.

    A killed run resumes from its last checkpoint when the same recipe is run again.

    Raises:
        InputError: the text is too short, or the checkpoint is damaged.
        RecipeError: there is nothing to train.
        TrainingError: the loss is not a number.
    """
    recipe = resolved.recipe
    settings = recipe.train
    if not settings.enabled:
        ctx.note(summary="off")
        return artifact
    model = artifact.model
    windows = training_windows(recipe, artifact.source)
    file = CheckpointFile(cache_dir() / "training", _digest(artifact, recipe, windows))
    former = file.read()
    kind = model.attention_kind
    # Without a cache nothing is written in place, which would block gradients.
    model.set_attention("cacheless")
    try:
        teacher = _teacher(model, settings) if settings.loss is TrainLoss.distill else None
        with train_form(model, artifact.choices, settings) as form:
            student = _student(model, form.choices, resolved)
            loss = _loss(student.forward, teacher)
            student.observe(windows[:_OBSERVED])
            before = _mean_loss(loss, windows)
            names = [student.names(name) for name in form.trained]
            curve = fit(
                student.module, names, windows, loss, loop_settings(settings),
                checkpoint=file, progress=ctx.progress,
            )  # fmt: skip
            student.settle(windows)
            after = _mean_loss(loss, windows)
    finally:
        model.set_attention(kind)
    for problem in dict.fromkeys(file.problems):
        ctx.reporter.line(f"cache: {problem}")
    file.remove()
    unit = "KL to the float model" if teacher else "cross entropy"
    ctx.note(
        loss=unit,
        loss_before=before,
        loss_after=after,
        curve=curve,
        trained_modules=form.modules,
        trained_parameters=list(form.trained),
        windows=len(windows),
        resumed_at=former.step if former else None,
        summary=f"{unit} {before:.3g} -> {after:.3g} nats in {settings.steps} steps, "
        f"{form.modules} matrices",
    )
    return replace(artifact, choices=form.choices, ranges=student.ranges())


def loop_settings(settings: TrainConfig) -> LoopSettings:
    return LoopSettings(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        batch=settings.batch,
        accumulate=settings.accumulate,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        checkpoint_every=settings.checkpoint_every,
    )


def _student(
    model: LanguageModel, choices: Iterable[LayerQuantSpec], resolved: ResolvedRecipe
) -> Student:
    """With static schemes a captured graph, whose fake quantizers the backend's quantizer
    inserts.
    """
    recipe = resolved.recipe
    static = [c.name for c in choices if c.flow is Flow.pt2e]
    if not static:
        return eager(model)
    quantizer = resolved.backend.quantizer(resolved, static, training=True)
    return captured(model, filled(recipe.train.window), quantizer)


def _loss(forward: Forward, teacher: LanguageModel | None) -> Loss:
    return cross_entropy(forward) if teacher is None else distillation(forward, forward_of(teacher))


def _teacher(model: LanguageModel, settings: TrainConfig) -> LanguageModel:
    """The current float model. When only factors are trained, all its weights stay fixed, so they
    are shared.
    """
    parameters = [] if settings.lora is None else list(model.parameters())
    return copy.deepcopy(model, {id(p): p for p in parameters})


def _mean_loss(loss: Loss, windows: Tensor, most: int = 8) -> float:
    """Mean loss of the first windows, one at a time; the same windows before and after training."""
    with torch.no_grad():
        return sum(float(loss(w[None])) for w in windows[:most]) / len(windows[:most])


def _digest(artifact: Prepared, recipe: Recipe, windows: Tensor) -> str:
    """Digest of everything that affects training."""
    settings = asdict(recipe.train)
    for key in ("description", "checkpoint_every", "max_mean_kl", "max_perplexity_ratio"):
        del settings[key]
    facts = {
        "train": settings,
        "choices": [choice.as_dict() for choice in artifact.choices],
        "attention": artifact.model.attention_kind,
        "versions": package_versions(),
        "windows": _sha(windows),
        "weights": {n: _sha(p) for n, p in artifact.model.named_parameters()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _sha(tensor: Tensor) -> str:
    flat = tensor.detach().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()
