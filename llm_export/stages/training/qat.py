"""Insert fake quantizers for weights and activations into a model, and remove them again.

Weights are replaced by parametrization, so a module keeps its class, name and shared weights: a
tied embedding stays one parameter with two fake quantizers. Gradients pass through rounding
unchanged and are zero for clamped values (straight-through estimator, arXiv:1308.3432).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint

from llm_export.config.name_patterns import matches_name
from llm_export.config.qat_schema import Precision, QatConfig
from llm_export.config.train_schema import LoraTraining, TrainConfig
from llm_export.errors import RecipeError
from llm_export.quant.qat import activation_quantizer, fake_quantizer
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES

_ORIGINAL = "parametrizations.weight.original"


class FakeWeight(nn.Module):
    """W -> the kernel's quantized values of W or, with factors, of W + s B A."""

    def __init__(self, quantizer: Any, factors: tuple[Tensor, Tensor] | None, scale: float) -> None:
        super().__init__()
        self.quantizer, self.scale = quantizer, scale
        self.lora_a = None if factors is None else nn.Parameter(factors[0], requires_grad=False)
        self.lora_b = None if factors is None else nn.Parameter(factors[1], requires_grad=False)

    def merged(self, weight: Tensor) -> Tensor:
        if self.lora_a is None or self.lora_b is None:
            return weight
        return weight + self.scale * (self.lora_b @ self.lora_a)

    def forward(self, weight: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self._values(weight)
        # Rounding makes half a dozen tensors of the weight's size on the way, which backward
        # would keep for every matrix of the model: it makes them again instead.
        return checkpoint(self._values, weight, use_reentrant=False, preserve_rng_state=False)

    def _values(self, weight: Tensor) -> Tensor:
        merged = self.merged(weight)
        return merged if self.quantizer is None else self.quantizer(merged)


@dataclass(frozen=True)
class TrainForm:
    """A model in which every quantized module computes as it will after export.

    Attributes:
        trained: names of the parameters to train.
        modules: how many are trained.
        choices: as before, but marked with what they are trained for.
    """

    trained: tuple[str, ...]
    modules: int
    choices: tuple[LayerQuantSpec, ...]


def trained_for(choice: LayerQuantSpec) -> QatConfig:
    """The fake quantizer whose values the kernel represents exactly, or to 1/2048 if its scales are
    float16: torchao multiplies by their reciprocals, which overflow. One that the checkpoint was
    trained with is continued, in float32.
    """
    if choice.qat is not None:
        scale = choice.qat.scale_precision or choice.qat.weight_precision
        return replace(choice.qat, weight_precision=Precision.float32, scale_precision=scale)
    scale = Precision.float32 if choice.scale_dtype == "float16" else Precision(choice.scale_dtype)
    return QatConfig(enabled=True, scale_precision=scale, kinds=[choice.kind])


@contextmanager
def train_form(
    model: nn.Module, choices: Iterable[LayerQuantSpec], settings: TrainConfig
) -> Iterator[TrainForm]:
    """Context with fake quantizers in the model; the trained values are in its weights afterwards.

    If the block fails, the model is restored, except for the training done so far.

    Raises:
        RecipeError: nothing is to be trained, or factors would untie a tied weight.
    """
    choices = tuple(replace(c, qat=trained_for(c)) if c.on_grid else c for c in choices)
    targets = _targets(model, choices, settings)
    handles = []
    generator = torch.Generator().manual_seed(settings.seed)
    try:
        for choice in choices:
            if not choice.on_grid and choice.name not in targets:
                continue
            module = model.get_submodule(choice.name)
            lora = settings.lora if choice.name in targets else None
            parametrize.register_parametrization(
                module, "weight", _fake_weight(choice, module, lora, generator)
            )
            if choice.scheme != "none" and SCHEMES[choice.scheme].dynamic_activations:
                handles.append(_round_inputs(module))
        names = tuple(_parameters(targets, settings.lora))
        yield TrainForm(names, len(targets), choices)
    finally:
        for handle in handles:
            handle.remove()
        for choice in choices:
            _leave(model.get_submodule(choice.name))


def _targets(
    model: nn.Module, choices: Sequence[LayerQuantSpec], settings: TrainConfig
) -> dict[str, LayerQuantSpec]:
    """Modules to train by name; of several with one weight, the first."""
    lora = settings.lora
    found: dict[int, LayerQuantSpec] = {}
    shared: dict[int, int] = {}
    for choice in choices:
        weight = id(model.get_submodule(choice.name).weight)
        shared[weight] = shared.get(weight, 0) + 1
        if choice.kind in settings.kinds and (
            lora is None or matches_name(lora.targets, choice.name)
        ):
            found.setdefault(weight, choice)
    if not found:
        kinds = ", ".join(kind.value for kind in settings.kinds)
        raise RecipeError(
            f"there is nothing to train: no module of kinds {kinds}"
            + (f" matches '{lora.targets}'" if lora else ""),
            where="train.lora.targets" if lora else "train.kinds",
            fix="other kinds, or another pattern",
        )
    if lora is not None:
        for weight, choice in found.items():
            if shared[weight] > 1:
                raise RecipeError(
                    f"the weight of '{choice.name}' is also the embedding's: factors of one of "
                    "them would part the two",
                    where="train.kinds",
                    fix="train.kinds=[linear], or train the weights themselves (train=qat)",
                )
    return {choice.name: choice for choice in found.values()}


def _fake_weight(
    choice: LayerQuantSpec, module: nn.Module, lora: LoraTraining | None, generator: torch.Generator
) -> FakeWeight:
    quantizer = None if choice.qat is None else fake_quantizer(choice.spec, choice.qat)
    if lora is None:
        return FakeWeight(quantizer, None, 1.0)
    rows, columns = choice.shape
    a = torch.empty(lora.rank, columns)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
    return FakeWeight(quantizer, (a, torch.zeros(rows, lora.rank)), lora.alpha / lora.rank)


def _round_inputs(module: nn.Module) -> Any:
    quantizer = activation_quantizer()
    return module.register_forward_pre_hook(
        lambda module, inputs: (quantizer(inputs[0]), *inputs[1:])
    )


def _parameters(targets: Iterable[str], lora: LoraTraining | None) -> Iterator[str]:
    for name in targets:
        if lora is None:
            yield f"{name}.{_ORIGINAL}"
        else:
            yield from (f"{name}.parametrizations.weight.0.lora_{side}" for side in "ab")


def _leave(module: nn.Module) -> None:
    """Remove the fake quantizer; factors are merged into a separate weight of the module."""
    if not parametrize.is_parametrized(module, "weight"):
        return
    fake = module.parametrizations.weight[0]  # type: ignore[union-attr,index]
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    assert isinstance(fake, FakeWeight)
    if fake.lora_a is not None:
        with torch.no_grad():
            merged = fake.merged(module.weight)  # type: ignore[arg-type]
        module.weight = nn.Parameter(merged, requires_grad=False)
