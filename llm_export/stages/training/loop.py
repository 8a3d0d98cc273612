"""The training loop: takes a model, windows of text and a loss; returns the loss curve.

An update depends only on the settings and its number: window order and random numbers come from
(seed, number). So a run resumed from a checkpoint gives the same result as an uninterrupted one,
bit for bit on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from llm_export.errors import TrainingError
from llm_export.stages.training.checkpoint import CheckpointFile, TrainingState
from llm_export.stages.training.losses import Loss
from llm_export.stages.training.settings import LoopSettings

_BETAS = (0.9, 0.95)
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_WEIGHT, _MOMENT = "model.", "optimizer."


def fit(
    model: nn.Module,
    trained: Iterable[str],
    windows: Tensor,
    loss: Loss,
    settings: LoopSettings,
    *,
    checkpoint: CheckpointFile | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[float]:
    """Train in place by AdamW; returns the loss of every update, in nats.

    The model's mode is the caller's, who may want fake quantization or observers as they are.

    Args:
        model: holds what is trained. Its persistent buffers (running ranges of observers, say)
            are in the checkpoints too.
        trained: names of its parameters; the others are frozen meanwhile.
        windows: int64 [N, S + 1].
        loss: of windows [B, S + 1], by the model.
        checkpoint: where to go on from and to; removing it is the caller's, once the result is
            safe.

    Raises:
        TrainingError: the loss is not a number.
    """
    names = list(trained)
    parameters = _only_trained(model, names)
    optimizer = _optimizer(parameters, settings)
    step, curve = 0, list[float]()
    state = checkpoint.read() if checkpoint else None
    if state is not None:
        step, curve = state.step, list(state.curve)
        _restore(model, parameters, optimizer, state)
    progress(step, settings.steps)
    while step < settings.steps:
        value = _update(parameters.values(), optimizer, windows, loss, settings, step)
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss of step {step + 1} is {value}",
                where="train.learning_rate", fix="a smaller train.learning_rate",
            )  # fmt: skip
        curve.append(value)
        step += 1
        progress(step, settings.steps)
        due = settings.checkpoint_every and step % settings.checkpoint_every == 0
        if checkpoint and due and step < settings.steps:
            checkpoint.write(_state(model, parameters, optimizer, step, curve))
    for parameter in parameters.values():
        parameter.requires_grad_(False).grad = None
    return curve


def _update(
    parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, windows: Tensor,
    loss: Loss, settings: LoopSettings, step: int,
) -> float:  # fmt: skip
    parameters = list(parameters)
    for group in optimizer.param_groups:
        group["lr"] = settings.rate(step)
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_mixed(settings.seed, step))
        for part in _batches(windows, settings, step):
            value = loss(part) / settings.accumulate
            value.backward()
            total += float(value.detach())
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
    optimizer.step()
    return total


def _batches(windows: Tensor, settings: LoopSettings, step: int) -> Iterator[Tensor]:
    size, count = settings.batch, len(windows)
    first = step * settings.accumulate * size
    for start in range(first, first + settings.accumulate * size, size):
        yield windows[[_index(i, count, settings.seed) for i in range(start, start + size)]]


def _index(position: int, count: int, seed: int) -> int:
    """The window at ``position`` of an infinite sequence: each once per epoch, reshuffled every
    epoch.
    """
    epoch, place = divmod(position, count)
    return int(torch.randperm(count, generator=_generator(seed, epoch))[place])


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mixed(seed, epoch))


def _mixed(seed: int, number: int) -> int:
    """Mix seed and number: with seed + number, runs with adjacent seeds would share random
    numbers.
    """
    return (seed * 0x9E3779B1 + number) % (1 << 63)


def _only_trained(model: nn.Module, names: list[str]) -> dict[str, nn.Parameter]:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained = {name: model.get_parameter(name) for name in names}
    for parameter in trained.values():
        parameter.requires_grad_(True)
    return trained


def _optimizer(
    parameters: Mapping[str, nn.Parameter], settings: LoopSettings
) -> torch.optim.Optimizer:
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((matrices, settings.weight_decay), (vectors, 0.0))
        if params
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS)


def _state(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer,
    step: int, curve: list[float],
) -> TrainingState:  # fmt: skip
    frozen = {n for n, _ in model.named_parameters(remove_duplicate=False)} - set(parameters)
    tensors = {_WEIGHT + n: t for n, t in model.state_dict().items() if n not in frozen}
    for name, parameter in parameters.items():
        for moment, value in optimizer.state[parameter].items():
            tensors[f"{_MOMENT}{moment}.{name}"] = value
    return TrainingState(step, curve, tensors)


def _restore(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer,
    state: TrainingState,
) -> None:  # fmt: skip
    values = {n.removeprefix(_WEIGHT): t for n, t in state.tensors.items() if n.startswith(_WEIGHT)}
    model.load_state_dict(values, strict=False)
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            moment: state.tensors[f"{_MOMENT}{moment}.{name}"] for moment in _MOMENTS
        }
