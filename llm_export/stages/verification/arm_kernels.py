"""Compute some texts with ExecuTorch's kernels for Arm under emulation, and compare the logits with
those of the eager model as exported (docs/arm.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from llm_export.arm import cost, emulate
from llm_export.arm.calls import Call, Steps
from llm_export.arm.emulate import NotEmulated
from llm_export.arm.levels import LEVELS, Level
from llm_export.arm.parts import Emulation, emulation, own_kernels
from llm_export.backends.methods import FORWARD
from llm_export.bundle.arm_proof import ArmLevel, ArmProof
from llm_export.bundle.manifest import Manifest, ProgramEntry
from llm_export.config.schema import OptionalCheck, Thresholds
from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.free_memory import available_memory
from llm_export.memory import released_between
from llm_export.metrics.comparison import Comparison, ComparisonResult
from llm_export.models.contract import LanguageModel, parts_of
from llm_export.pipeline.artifacts import Packaged
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.logits import eager_logits, in_slices
from llm_export.stages.verification.metrics import has_limit, violations, widened
from runtime_py.conditions import usable_processors


def compare_on_arm(
    artifact: Packaged,
    resolved: ResolvedRecipe,
    texts: Sequence[list[int]],
    floor: ComparisonResult | None,
    program: Path | None = None,
) -> tuple[ArmProof | None, list[str]]:
    """
    Args:
        texts: windows of the verification text, each with one id more than is fed.
        floor: the noise floor of the whole verification.
        program: another file than the bundle's, of the same contract.

    Returns:
        what was computed, and messages where a limit of ``verify.lowering`` is passed or the recipe
        requires what cannot be. None where the recipe or its backend asks for nothing, and on a
        machine whose own kernels these are.
    """
    settings = resolved.recipe.verify
    if settings.arm is OptionalCheck.skip or own_kernels() or not resolved.capabilities.on_arm:
        return None, []
    required = settings.arm is OptionalCheck.require
    program = program or artifact.bundle / artifact.manifest.roles["program"]
    begin = time.monotonic()
    try:
        parts = emulation()
        run = _Run.of(artifact, parts, program, settings.arm_seconds, required=required)
    except (_NotComputed, LlmExportError) as why:
        proof = ArmProof(reason=_reason(why))
        return proof, [str(proof)] if required else []
    windows = list(_windows(texts, run.extent))
    expected, targets = _eager(artifact.transformed.model, windows, resolved)
    with ThreadPoolExecutor(run.at_once) as pool:
        found = list(pool.map(lambda level: run.level(level, windows), LEVELS))
    levels, problems = [], []
    for level, rows in zip(LEVELS, found, strict=True):
        made, messages = _judged(level, rows, expected, targets, resolved, floor)
        levels.append(made)
        problems += messages
        if required and made.comparison is None and made.good is None:
            problems.append(f"Arm kernels: {made}")
    proof = ArmProof(
        tuple(levels), emulator=emulate.version_of(parts), reference_operators=run.by_reference,
        seconds=round(time.monotonic() - begin, 1), cut=run.told_cut(levels, len(targets)),
    )  # fmt: skip
    return proof, problems


def remark(proof: ArmProof | None) -> str:
    """For the stage's line."""
    if proof is None or not proof.levels:
        return ""
    bad = [level.name for level in proof.levels if level.good is False]
    if bad:
        return f", wrong by Arm kernels ({', '.join(bad)})"
    return ", Arm kernels agree" if any(level.good for level in proof.levels) else ""


class _NotComputed(Exception):
    """Why nothing can be computed."""


def _reason(why: Exception) -> str:
    if isinstance(why, MissingDependencyError):
        lacking = why.what.partition(": ")[2] or why.what
        return f"{lacking} here; llm-export doctor says how to get it"
    return why.what if isinstance(why, LlmExportError) else str(why)


@dataclass(frozen=True)
class _Window:
    """``fed`` tokens, the first ``prefill`` of them as a prompt, and the one after the last."""

    fed: list[int]
    prefill: int
    after: int

    @property
    def targets(self) -> list[int]:
        return [*self.fed[self.prefill :], self.after]


def _windows(texts: Sequence[list[int]], extent: cost.Extent) -> Iterator[_Window]:
    """The beginnings of several texts; of fewer texts also what follows there."""
    length = min(extent.prefill + extent.steps, len(texts[0]) - 1)
    prefill = extent.prefill if extent.prefill < length else max(1, length // 2)
    starts = range(0, len(texts[0]) - length, length)
    places = [(text, start) for start in starts for text in texts]
    for text, start in places[: extent.windows]:
        yield _Window(text[start : start + length], prefill, text[start + length])


@dataclass(frozen=True)
class _Run:
    """A program, and how much of it is computed."""

    parts: Emulation
    program: Path
    facts: ProgramEntry
    data: Path | None
    extent: cost.Extent
    seconds: float
    """That each level may take."""
    at_once: int
    by_reference: tuple[str, ...]

    @classmethod
    def of(
        cls, artifact: Packaged, parts: Emulation, program: Path, seconds: float, *, required: bool
    ) -> _Run:
        """Raises _NotComputed if the program cannot be, or not in that time."""
        manifest, size = artifact.manifest, program.stat().st_size
        by_reference = _supported(manifest, parts)
        turns = cost.turns(len(LEVELS), size, usable_processors(), available_memory())
        extent = cost.extent_for(size, seconds / turns)
        if extent is None and not required:
            least = turns * cost.shortest(size).seconds
            raise _NotComputed(
                f"one short text would take about {least:.0f} s (verify.arm_seconds={seconds:g})"
            )
        chosen = extent or cost.shortest(size)
        allowed = max(seconds / turns, 3 * chosen.seconds if required else 0)
        name = manifest.default_adapter
        data = artifact.bundle / manifest.adapters[name] if manifest.adapters and name else None
        at_once = math.ceil(len(LEVELS) / turns)
        return cls(parts, program, manifest.program, data, chosen, allowed, at_once, by_reference)

    def level(self, level: Level, windows: Sequence[_Window]) -> emulate.Computed | LlmExportError:
        """What it computes there, or why nothing."""
        try:
            return emulate.computed(
                self.parts, level, self.program, self._calls(windows), self.facts.vocab_size,
                token_dtype=self.facts.token_dtype or "int64", seconds=self.seconds,
                data=self.data,
            )  # fmt: skip
        except LlmExportError as error:
            return error

    def _calls(self, windows: Sequence[_Window]) -> list[Call]:
        facts = self.facts
        steps = Steps(
            facts.steps or {FORWARD: facts.prefill_length}, facts.dynamic_shapes,
            bool(facts.recurrent), facts.context_length,
        )  # fmt: skip
        return [call for one in windows for call in steps.calls(one.fed, one.prefill)]

    def told_cut(self, levels: Sequence[ArmLevel], rows: int) -> str | None:
        """Why fewer texts were computed than usual; None if they were not."""
        made = [level.comparison.positions for level in levels if level.comparison is not None]
        if made and min(made) < rows:
            return f"cut after {self.seconds:.0f} s a level (verify.arm_seconds)"
        if self.extent.windows < cost.WINDOWS:
            texts = "text" if self.extent.windows == 1 else "texts"
            return f"only {self.extent.windows} {texts}, for the time (verify.arm_seconds)"
        return None


def _supported(manifest: Manifest, parts: Emulation) -> tuple[str, ...]:
    """The operators of the program that only the runner has kernels of.

    Raises:
        _NotComputed: it needs what neither has, or takes more than tokens.
    """
    if manifest.program.cache_io is not None:
        raise _NotComputed("its caches are inputs and outputs of the program")
    if FORWARD not in (manifest.program.steps or {FORWARD: 1}):
        raise _NotComputed("it takes embeddings, which other methods of it make")
    known, needed = emulate.operators(parts), manifest.requires.operators
    if lacking := [name for name in needed if name not in known]:
        raise _NotComputed(f"the libraries for Arm lack {', '.join(lacking)}")
    return tuple(name for name in needed if name.startswith(emulate.BY_REFERENCE))


def _eager(
    model: LanguageModel, windows: Sequence[_Window], resolved: ResolvedRecipe
) -> tuple[Tensor, Tensor]:
    """Logits [P, V] of the eager model as exported, and targets [P]."""
    rows, targets = [], []
    with released_between(parts_of(model)), in_slices(model):
        for window in windows:
            logits = eager_logits(model, window.fed, resolved.methods.prefill_length)
            rows.append(logits[window.prefill - 1 :].clone())
            targets += window.targets
    return torch.cat(rows), torch.tensor(targets)


def _judged(
    level: Level,
    found: emulate.Computed | LlmExportError,
    expected: Tensor,
    targets: Tensor,
    resolved: ResolvedRecipe,
    floor: ComparisonResult | None,
) -> tuple[ArmLevel, list[str]]:
    if isinstance(found, NotEmulated):
        return ArmLevel(level.name, reason=found.what), []
    if isinstance(found, LlmExportError):
        made = ArmLevel(level.name, good=False, reason=found.what)
        return made, [f"Arm kernels: {made}"]
    count = len(found.rows)
    if not count:
        return ArmLevel(level.name, found.cpu, reason="the time was over before the first text"), []
    comparison = Comparison()
    comparison.add(found.rows, expected[:count], targets[:count])
    result = comparison.result()
    settings = resolved.recipe.verify
    limits = few_positions(settings.lowering, floor, settings.noise_factor, count)
    messages = violations(
        result, limits, f"program by Arm kernels ({level.name}, under emulation) vs the eager model"
    )
    good = not messages if messages or has_limit(limits) else None
    return ArmLevel(level.name, found.cpu, good, comparison=result), messages


def few_positions(
    limits: Thresholds, floor: ComparisonResult | None, factor: float, positions: int
) -> Thresholds:
    """Limits for a mean over a few positions: single positions are noisier than the mean, so it may
    lie as high as the noise floor's 99th percentile over the root of their number. The share of
    equal tokens has no limit: a tie would decide. Never wider than ``widened`` can be.
    """
    if floor is not None:
        high = floor.value("p99_kl") / math.sqrt(positions)
        mean = max(floor.value("mean_kl"), high)  # the first if the other is NaN
        floor = replace(floor, values={**floor.values, "mean_kl": mean})
    return replace(widened(limits, floor, factor), min_top1=None)
