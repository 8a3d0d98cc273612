"""What a program sees: its vision encoder's output for pictures, and the logits of a text after
each of them, against the eager models'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llm_export.bundle.measures import LOWERING, QUALITY, Measure
from llm_export.config.schema import Thresholds
from llm_export.metrics.comparison import Comparison, ComparisonResult
from llm_export.models.vision.seeing_model import SeeingModel
from llm_export.models.vision.seen import after_image
from llm_export.quant.schemes import SCHEMES
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.metrics import widened
from llm_export.stages.verification.picture_text import AFTER, BEFORE

if TYPE_CHECKING:
    from runtime_py.vision.program import SeeingProgram

_ERROR, _WIDEST, _ROUNDINGS = 2e-3, 0.2, 30
"""The encoder's relative error: for float32, at most, and in roundings of a shorter dtype."""
_COSINE = 0.95
_NOISE = 1e-6
"""Of the pixels: less than a float32 rounding error per layer, as a different order of sums."""


@dataclass(frozen=True)
class Seen:
    """
    Attributes:
        encoded: of each picture [n, H] float32.
        logits: of each picture [T, V], after it and after each token of the text behind it.
    """

    encoded: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]


@dataclass(frozen=True)
class Sight:
    """What is shown.

    Attributes:
        pictures: [1, C, h, w] each, values in [-1, 1] as processors give them.
        before, after: token ids around a picture.
    """

    pictures: tuple[Tensor, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def sight(model: SeeingModel, text: Sequence[int]) -> Sight:
    """Pictures of the size that the model sees, and a text around each.

    Args:
        text: token ids, some of which are used.
    """
    height, width = model.config.image_size
    ids = list(text[: BEFORE + AFTER])
    return Sight(pictures(height, width), tuple(ids[:BEFORE]), tuple(ids[BEFORE:]))


def pictures(height: int, width: int) -> tuple[Tensor, ...]:
    """Gradients, stripes, a disc and noise, [1, 3, h, w] in [-1, 1]; the same in every run."""
    rows = torch.linspace(-1, 1, height).view(-1, 1).expand(height, width)
    columns = torch.linspace(-1, 1, width).view(1, -1).expand(height, width)
    disc = ((rows.square() + columns.square()) < 0.4).float() * 2 - 1
    stripes = torch.sign(torch.sin(columns * 20))
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = (
        torch.stack((rows, columns, -rows)),
        torch.stack((stripes, rows, stripes * columns)),
        torch.stack((disc, -disc, columns)),
        noise,
    )
    return tuple(picture[None] for picture in made)


@torch.no_grad()
def seen_by_model(model: SeeingModel, shown: Sight, *, noise: bool = False) -> Seen:
    """What an eager model makes of it.

    Args:
        noise: whether the pixels differ by less than what rounding makes of them.
    """
    encoded, logits = [], []
    generator = torch.Generator().manual_seed(1)
    for picture in shown.pictures:
        if noise:
            picture = picture * (1 + _NOISE * torch.randn(picture.shape, generator=generator))
        found = after_image(model, picture, shown.before, shown.after)
        encoded.append(found.encoded.float())
        logits.append(found.logits.float())
    return Seen(tuple(encoded), tuple(logits))


def seen_by_program(program: SeeingProgram, shown: Sight, tokens: int) -> Seen:
    """What a program makes of it, fed as in an app.

    Args:
        tokens: that a picture takes.
    """
    from runtime_py.images import Tile  # needs Pillow

    encoded, logits = [], []
    for picture in shown.pictures:
        ids = program.images.add(Tile(picture.numpy(), tokens))
        program.reset()
        found = [program.prefill([*shown.before, *ids])[None].float().clone()]
        found += [program.step([token])[:, -1].float().clone() for token in shown.after]
        rows, _ = program.images.of(ids[0])
        encoded.append(rows[0].float().view(-1, rows[0].shape[-1]).clone())
        logits.append(torch.cat(found))
    program.reset()
    return Seen(tuple(encoded), tuple(logits))


def compared(made: Seen, expected: Seen, shown: Sight) -> ComparisonResult:
    """The distributions of the next token, after each picture a window."""
    comparison = Comparison()
    targets = torch.tensor([*shown.after, shown.before[0]])
    for found, wanted in zip(made.logits, expected.logits, strict=True):
        comparison.add(found, wanted, targets)
        comparison.end_window()
    return comparison.result()


def encoder_error(made: Seen, expected: Seen) -> float:
    """Largest relative error, over the pictures, of the encoder's output."""
    pairs = zip(made.encoded, expected.encoded, strict=True)
    return max(float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in pairs)


def encoder_cosine(made: Seen, expected: Seen) -> float:
    """Smallest cosine, over the pictures, between the encoder's outputs."""
    pairs = zip(made.encoded, expected.encoded, strict=True)
    return min(
        float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))
        for a, b in pairs
    )


def measures(
    program: Seen | None,
    exported: Seen,
    reference: Seen,
    noisy: Seen | None,
    shown: Sight,
    limits: SeeingLimits,
) -> tuple[Measure, ...]:
    """How well a program sees.

    Args:
        program: None where it cannot run here: then the exported model is what is judged.
        noisy: what the exported model sees if pixels differ by rounding; None: it makes no
            difference.
    """
    judged = exported if program is None else program
    found = []
    if program is not None:
        floor = 0.0 if noisy is None else encoder_error(noisy, exported)
        allowed = min(max(limits.error, limits.noise_factor * floor), _WIDEST)
        found.append(
            Measure("encoder_error", "vision encoder's relative error",
                    encoder_error(program, exported), LOWERING, limit=allowed)
        )  # fmt: skip
        lowering = compared(program, exported, shown)
        noise = None if noisy is None else compared(noisy, exported, shown)
        kept = widened(limits.lowering, noise, limits.noise_factor)
        found.append(
            Measure("image_kl", "mean KL after an image", lowering.value("mean_kl"), LOWERING,
                    "nats", kept.max_mean_kl)
        )  # fmt: skip
    quality = compared(judged, reference, shown)
    found += [
        Measure("encoder_cosine", "vision encoder's cosine to float32",
                encoder_cosine(judged, reference), QUALITY, limit=limits.cosine,
                higher_is_better=True),
        Measure("image_quality_kl", "mean KL to float32 after an image", quality.value("mean_kl"),
                QUALITY, "nats", limits.quality.max_mean_kl),
        Measure("image_top1", "most likely token as in float32 after an image",
                quality.value("top1_agreement"), QUALITY, higher_is_better=True),
    ]  # fmt: skip
    return tuple(replace(m, limit=limits.stated.get(m.name, m.limit)) for m in found)


@dataclass(frozen=True)
class SeeingLimits:
    """
    Attributes:
        error: of the vision encoder, relative, for rounding alone.
        cosine: smallest to the float32 model; None: there is no limit.
        lowering, quality: of text, which hold after images too.
        noise_factor: ``verify.noise_factor``.
        stated: ``verify.limits``: name of a measure -> limit.
    """

    error: float
    cosine: float | None
    lowering: Thresholds
    quality: Thresholds
    noise_factor: float
    stated: Mapping[str, float | None] = field(default_factory=dict)


def seeing_limits(resolved: ResolvedRecipe, quality: Thresholds) -> SeeingLimits:
    """The limits of a recipe.

    Args:
        quality: the limits of text.
    """
    recipe = resolved.recipe
    computes_in = resolved.of_further("vision_encoder").capabilities.computes_in
    casts = [SCHEMES[r.scheme].dtype for r in recipe.quant.rules if r.scheme in SCHEMES]
    eps = max(torch.finfo(getattr(torch, name)).eps for name in (computes_in, *casts))
    cosine = None if recipe.checkpoint.is_random else _COSINE
    return SeeingLimits(
        max(_ERROR, _ROUNDINGS * eps), cosine, recipe.verify.lowering, quality,
        recipe.verify.noise_factor, recipe.verify.limits,
    )  # fmt: skip
