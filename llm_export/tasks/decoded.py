"""Compare programs whose decoder attends to an encoder's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import LOWERING, QUALITY, Measure
from llm_export.bundle.roles import ROLES
from llm_export.metrics import metrics
from llm_export.metrics.comparison import Comparison as Distributions
from llm_export.metrics.scale import level_of
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.embedding.vectors import perturbed

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.models.programs.task_model import TaskModel

    Call = Callable[[str, Sequence[Tensor]], list[Tensor]]

_FRONT = ("features", "encoder")
"""Methods before the decoder; each takes what the one before it returns."""
_FAR = 0.1
"""Largest difference of a method's output that int8 rounding makes, relative to the largest
value. A wrong program is off by as much as the values."""


@dataclass(frozen=True)
class Case:
    """A source, and the tokens that the decoder begins with."""

    inputs: tuple[Tensor, ...]
    prompt: tuple[int, ...]


@dataclass
class _Pair:
    """One side against another, over all cases."""

    logits: Distributions = field(default_factory=Distributions)
    far: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        ours: tuple[Mapping[str, Tensor], Tensor],
        theirs: tuple[Mapping[str, Tensor], Tensor],
        targets: Tensor,
    ) -> None:
        self.logits.add(ours[1], theirs[1], targets)
        self.logits.end_window()
        for name, mine in ours[0].items():
            other = theirs[0][name]
            apart = float((mine - other).abs().max() / other.abs().max().clamp(min=1e-12))
            # Not max(): NaN must win.
            if not apart <= self.far.get(name, -1.0):
                self.far[name] = apart


def compare_decoded(
    subject: Subject,
    cases: Sequence[Case],
    steps: int,
    progress: Callable[[int, int], None],
    what: str,
) -> Comparison:
    """Compare the outputs of all methods. The decoder of each side gets the tokens that the
    float32 model answers greedily, so that their logits are about the same text.

    Args:
        steps: most tokens of an answer.
        what: the cases, in words.
    """
    reference = subject.reference()
    exact, exported = call_of(reference, subject), call_of(subject.exported, subject)
    program = None if subject.bundle is None else program_of(subject.bundle)
    fronts, quality, lowering = _present(reference, subject), _Pair(), _Pair()
    noisy = program is not None and bool(subject.resolved.recipe.quant.rules)
    floor = _Pair() if noisy else None
    for number, case in enumerate(cases):
        begun = front(exact, fronts, case.inputs)
        wanted, targets = greedy(exact, case.prompt, steps)
        tokens = [*case.prompt, *targets.tolist()[:-1]]
        ours = begun_by, made = _side(exported, fronts, case, tokens)
        if program is not None:
            ours = _side(program, fronts, case, tokens)
            lowering.add(ours, (begun_by, made), targets)
        if floor is not None:
            with perturbed(subject.exported):
                near = _side(exported, fronts, _shaken(case), tokens)
            floor.add(near, (begun_by, made), targets)
        quality.add(ours, (begun, wanted), targets)
        progress(number + 1, len(cases))
    found = quality.logits.result()
    level = level_of(found.mean_kl, 1 - found.top1_agreement)
    measures = (*_lowering(lowering, floor, subject), *_quality(found, subject))
    return Comparison(measures, level.word, level.meaning, f"{found.positions} tokens of {what}")


def program_of(bundle: Path) -> Call:
    """Runs a bundle's methods."""
    from runtime_py.method_program import MethodProgram

    return MethodProgram(bundle / ROLES["program"]).call


def _side(
    call: Call, fronts: Sequence[str], case: Case, tokens: Sequence[int]
) -> tuple[dict[str, Tensor], Tensor]:
    return front(call, fronts, case.inputs), decoded(call, tokens, len(case.prompt))


def call_of(model: TaskModel, subject: Subject) -> Call:
    """Runs an eager model's methods."""
    import torch

    dynamic = subject.resolved.methods.dynamic
    modules = {m.name: m.module for m in model.methods(subject.options, dynamic=dynamic)}

    def call(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            made = modules[name](*inputs)
        return [made] if isinstance(made, torch.Tensor) else list(made)

    return call


def front(call: Call, methods: Sequence[str], inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Outputs of the methods before the decoder, each a copy."""
    found: dict[str, Tensor] = {}
    given = list(inputs)
    for name in methods:
        given = [call(name, given)[0].clone()]
        found[name] = given[0]
    return found


def greedy(call: Call, prompt: Sequence[int], steps: int) -> tuple[Tensor, Tensor]:
    """(logits [P, V], the most likely tokens [P]), token by token."""
    import torch

    rows = [_step(call, token, position) for position, token in enumerate(prompt)][-1:]
    while len(rows) < steps:
        rows.append(_step(call, int(rows[-1].argmax()), len(prompt) + len(rows) - 1))
    logits = torch.stack(rows)
    return logits, logits.argmax(-1)


def decoded(call: Call, tokens: Sequence[int], prompt: int) -> Tensor:
    """Logits [P, V] after the last token of the prompt and each token behind it."""
    import torch

    rows = [_step(call, token, position) for position, token in enumerate(tokens)]
    return torch.stack(rows[prompt - 1 :])


def _step(call: Call, token: int, position: int) -> Tensor:
    import torch

    out = call("decoder", (torch.tensor([[token]]), torch.tensor([position])))[0]
    return out.reshape(-1).to(torch.float32, copy=True)


def _present(model: TaskModel, subject: Subject) -> list[str]:
    dynamic = subject.resolved.methods.dynamic
    names = [m.name for m in model.methods(subject.options, dynamic=dynamic)]
    return [name for name in _FRONT if name in names]


def _lowering(pair: _Pair, floor: _Pair | None, subject: Subject) -> list[Measure]:
    """Limits allow ``verify.noise_factor`` times the noise floor: what the exported model differs
    from itself after a change of the size of rounding errors, which quantization amplifies."""
    if subject.bundle is None:
        return []
    verify, found = subject.resolved.recipe.verify, pair.logits.result()
    known = {metric.name: metric for metric in metrics()}
    noise = None if floor is None else floor.logits.result()

    def wide(name: str, limit: float | None) -> float | None:
        if limit is None or noise is None:
            return limit
        return known[name].widened(limit, noise.value(name), verify.noise_factor)

    def far(name: str) -> float:
        return max(_FAR, 0.0 if floor is None else verify.noise_factor * floor.far[name])

    return [
        Measure(
            "lowering_kl", "mean KL divergence from the exported model", found.mean_kl, LOWERING,
            "nats", wide("mean_kl", verify.lowering.max_mean_kl),
        ),
        Measure(
            "lowering_top1", "most likely token as the exported model's", found.top1_agreement,
            LOWERING, "", wide("top1_agreement", verify.lowering.min_top1), higher_is_better=True,
        ),
        *(
            Measure(f"lowering_{name}", f"largest difference of {name}", value, LOWERING, "",
                    far(name))
            for name, value in pair.far.items()
        ),
    ]  # fmt: skip


def _shaken(case: Case) -> Case:
    """With inputs that are off by rounding errors, if they are no ids."""
    import torch

    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        each * (1 + 1e-6 * torch.randn(each.shape, generator=generator))
        if each.is_floating_point()
        else each
        for each in case.inputs
    )
    return Case(inputs, case.prompt)


def _quality(found: Any, subject: Subject) -> list[Measure]:
    limits = subject.resolved.recipe.verify.quality
    return [
        Measure(
            "mean_kl", "mean KL divergence from the float32 model", found.mean_kl, QUALITY,
            "nats", limits.max_mean_kl,
        ),
        Measure(
            "top1_agreement", "most likely token as the float32 model's", found.top1_agreement,
            QUALITY, "", limits.min_top1, higher_is_better=True,
        ),
    ]  # fmt: skip
