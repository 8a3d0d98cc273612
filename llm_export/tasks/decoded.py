"""Compare programs whose decoder attends to an encoder's output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import LOWERING, QUALITY, Measure
from llm_export.bundle.roles import ROLES
from llm_export.compat.torchao_tensors import dequantized_once
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
_FAR = 0.01
"""Root of the mean squared difference of an output, relative to that of its values, which a right
program may have where nothing amplifies rounding errors."""
_ROUNDINGS = 8
"""The same in rounding errors of the model's dtype, where they are more."""
_TIES = 2
"""Positions whose two most likely tokens may be as good as equal, however few there are."""
_FLOOR = 4
"""Cases to measure the noise floor over."""


@dataclass(frozen=True)
class Case:
    """A source, and the tokens that the decoder begins with."""

    inputs: tuple[Tensor, ...]
    prompt: tuple[int, ...]


@dataclass(frozen=True)
class _Made:
    """What one side makes of a case.

    Attributes:
        front: outputs of the methods before the decoder, by name.
        logits: [P, V], after the last token of the prompt and after each token behind it.
    """

    front: Mapping[str, Tensor]
    logits: Tensor


@dataclass
class _Pair:
    """One side against another, over all cases.

    Attributes:
        squares: of each output: sums of the squared differences and of the squared values.
    """

    logits: Distributions = field(default_factory=Distributions)
    squares: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, ours: _Made, theirs: _Made, targets: Tensor) -> None:
        self.logits.add(ours.logits, theirs.logits, targets)
        self.logits.end_window()
        for name, mine in {**ours.front, "logits": _centred(ours.logits)}.items():
            other = theirs.front[name] if name in theirs.front else _centred(theirs.logits)
            apart, size = self.squares.get(name, (0.0, 0.0))
            self.squares[name] = (
                apart + float((mine.double() - other).square().sum()),
                size + float(other.double().square().sum()),
            )

    def far(self, name: str) -> float:
        """Relative root mean square of the difference."""
        apart, size = self.squares[name]
        return math.sqrt(apart / max(size, 1e-24))


def _centred(logits: Tensor) -> Tensor:
    """What their softmax depends on."""
    return logits - logits.mean(dim=-1, keepdim=True)


def compare_decoded(
    subject: Subject,
    cases: Sequence[Case],
    steps: int,
    progress: Callable[[int, int], None],
    what: str,
) -> Comparison:
    """Compare the outputs of all methods. The decoder of each side gets the tokens that the
    float32 model answers greedily, so that their logits are about the same text: the program
    token by token, as an app feeds it, the exported model all at once.

    Args:
        steps: most tokens of an answer.
        what: the cases, in words.
    """
    total = 2 * len(cases)
    answers = _answers(subject, cases, steps, lambda done: progress(done, total))
    # The float32 model is gone by now: the dequantized weights take its place in memory.
    fronts, exported = present(subject.exported, subject), call_of(subject.exported, subject)
    program = None if subject.bundle is None else program_of(subject.bundle)
    quality, lowering = _Pair(), _Pair()
    noisy = program is not None and bool(subject.resolved.recipe.quant.rules)
    floor = _Pair() if noisy else None
    with dequantized_once(subject.exported), all_logits(subject.exported):
        for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
            targets = answer.logits.argmax(-1)
            tokens = [*case.prompt, *targets.tolist()[:-1]]
            ours = made = _made(exported, fronts, case, tokens, at_once=True)
            if program is not None:
                ours = _made(program, fronts, case, tokens)
                lowering.add(ours, made, targets)
            if floor is not None and number < _FLOOR:
                with perturbed(subject.exported):
                    near = _made(exported, fronts, _shaken(case), tokens, at_once=True)
                floor.add(near, made, targets)
            quality.add(ours, answer, targets)
            progress(len(cases) + number + 1, total)
    found = quality.logits.result()
    level = level_of(found.mean_kl, 1 - found.top1_agreement)
    measures = (*_lowering(lowering, floor, subject), *_quality(found, subject))
    return Comparison(measures, level.word, level.meaning, f"{found.positions} tokens of {what}")


def _answers(
    subject: Subject, cases: Sequence[Case], steps: int, progress: Callable[[int], None]
) -> list[_Made]:
    """The float32 model's greedy answers."""
    reference = subject.reference()
    fronts, call = present(reference, subject), call_of(reference, subject)
    found = []
    for number, case in enumerate(cases):
        begun = front(call, fronts, case.inputs)
        found.append(_Made(begun, greedy(call, case.prompt, steps)))
        progress(number + 1)
    return found


def program_of(bundle: Path) -> Call:
    """Runs a bundle's methods."""
    from runtime_py.method_program import MethodProgram

    return MethodProgram(bundle / ROLES["program"]).call


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


def present(model: TaskModel, subject: Subject) -> list[str]:
    """Which methods there are before the decoder."""
    dynamic = subject.resolved.methods.dynamic
    names = [m.name for m in model.methods(subject.options, dynamic=dynamic)]
    return [name for name in _FRONT if name in names]


@contextmanager
def all_logits(model: TaskModel) -> Iterator[None]:
    """Context in which the decoder's method gives logits of all its tokens, if it can."""
    wanted, model.all_logits = model.all_logits, True
    try:
        yield
    finally:
        model.all_logits = wanted


def _made(
    call: Call, fronts: Sequence[str], case: Case, tokens: Sequence[int], *, at_once: bool = False
) -> _Made:
    begun = front(call, fronts, case.inputs)
    return _Made(begun, decoded(call, tokens, len(case.prompt), at_once=at_once))


def front(call: Call, methods: Sequence[str], inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Outputs of the methods before the decoder, each a copy."""
    found: dict[str, Tensor] = {}
    given = list(inputs)
    for name in methods:
        given = [call(name, given)[0].clone()]
        found[name] = given[0]
    return found


def greedy(call: Call, prompt: Sequence[int], steps: int) -> Tensor:
    """Logits [P, V] whose most likely tokens are the answer, token by token."""
    import torch

    rows = [_step(call, prompt, 0)[-1]]
    while len(rows) < steps:
        rows.append(_step(call, [int(rows[-1].argmax())], len(prompt) + len(rows) - 1)[-1])
    return torch.stack(rows)


def decoded(call: Call, tokens: Sequence[int], prompt: int, *, at_once: bool = False) -> Tensor:
    """Logits [P, V] after the last token of the prompt and each token behind it.

    Args:
        at_once: in one step, if that gives the logits of all tokens.
    """
    import torch

    if at_once:
        rows = _step(call, tokens, 0)
        if len(rows) == len(tokens):
            return rows[prompt - 1 :]
    return torch.cat([_step(call, [token], i) for i, token in enumerate(tokens)])[prompt - 1 :]


def _step(call: Call, tokens: Sequence[int], position: int) -> Tensor:
    """Logits [S, V] of all tokens, or [1, V] of the last one; a copy."""
    import torch

    out = call("decoder", (torch.tensor([list(tokens)]), torch.tensor([position])))[0]
    return out.reshape(-1, out.shape[-1]).to(torch.float32, copy=True)


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

    def top1() -> float | None:
        limit = wide("top1_agreement", verify.lowering.min_top1)
        return None if limit is None else min(limit, 1 - _TIES / max(found.positions, _TIES))

    def far(name: str) -> float:
        # KL divergence is quadratic in what logits are off by: the same factor for both.
        factor = math.sqrt(verify.noise_factor)
        return max(least, 0.0 if floor is None else factor * floor.far(name))

    least = max(_FAR, _ROUNDINGS * _rounding(subject.exported))

    return [
        Measure(
            "lowering_kl", "mean KL divergence from the exported model", found.mean_kl, LOWERING,
            "nats", wide("mean_kl", verify.lowering.max_mean_kl),
        ),
        Measure(
            "lowering_top1", "most likely token as the exported model's", found.top1_agreement,
            LOWERING, "", top1(), higher_is_better=True,
        ),
        *(
            Measure(f"lowering_{name}", f"relative difference of {name}", pair.far(name),
                    LOWERING, "", far(name))
            for name in pair.squares
        ),
    ]  # fmt: skip


def _rounding(model: TaskModel) -> float:
    """Of its coarsest dtype, relative."""
    import torch

    return max(torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point())


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
