"""Grids of trained weights are those of torchao's fake quantizers, bit for bit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torchao.quantization import (
    Int8DynamicActivationIntxWeightConfig,
    IntxWeightOnlyConfig,
    PerAxis,
    PerGroup,
    quantize_,
)
from torchao.quantization.qat import (
    Int8DynActInt4WeightQATQuantizer,
    IntxFakeQuantizeConfig,
    QATConfig,
)
from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer
from torchao.quantization.qat.linear import _get_4w_weight_config
from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import (
    _apply_int8_act_asym_per_token_quant_dequant,
)

from llm_export.config.qat_schema import ModuleKind, Precision, QatConfig, ZeroPointDomain
from llm_export.config.quant_schema import QuantRule, RoundingConfig
from llm_export.errors import RecipeError
from llm_export.quant.grid import GridSpec, sqnr
from llm_export.quant.qat import (
    activation_quantizer,
    trained_grid,
    training_values,
)
from llm_export.quant.rounding.weights import known_grid
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.schemes import TABLES
from llm_export.quant.trained import with_training
from llm_export.stages.training.qat import trained_for


def weight(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Rows of very different size, a group of zeros, and values between two integers."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(48, 512, generator=generator) * torch.logspace(-4, 1, 48)[:, None]
    w[5, :32] = 0
    w[6] = torch.arange(512).remainder(16) - 7.5
    return w.to(dtype)


def linear(dtype: torch.dtype) -> torch.nn.Linear:
    module = torch.nn.Linear(512, 48, bias=False, dtype=dtype)
    module.weight = torch.nn.Parameter(weight(dtype))
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("bits", "group"), [(4, 32), (4, 256), (4, None), (8, None), (8, 64)], ids=str
)
def test_what_qatconfig_prepares(dtype: torch.dtype, bits: int, group: int | None) -> None:
    """The defaults of quant.qat, and weight_precision, are QATConfig(base_config)'s."""
    kind, granularity = getattr(torch, f"int{bits}"), PerGroup(group) if group else PerAxis(0)
    spec = GridSpec(bits, group, scale_dtype=dtype)
    settings = QatConfig(enabled=True, weight_precision=Precision(str(dtype).split(".")[1]))
    for base in (
        Int8DynamicActivationIntxWeightConfig(kind, granularity),
        IntxWeightOnlyConfig(kind, granularity),
    ):
        model: Any = torch.nn.Sequential(linear(dtype))
        quantize_(model, QATConfig(base, step="prepare"))
        trained = model[0].weight_fake_quantizer(model[0].weight).detach()
        grid = trained_grid(weight(dtype).float(), spec, settings)
        # In bfloat16 the product itself is rounded in training; in the kernel it is not.
        assert torch.equal(grid.values().to(dtype), trained)
        assert torch.equal(training_values(weight(dtype).float(), spec, settings), trained.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("group", [32, 256])
def test_what_torchtunes_quantizer_prepares(dtype: torch.dtype, group: int) -> None:
    model = torch.nn.Sequential(linear(dtype))
    quantizer = Int8DynActInt4WeightQATQuantizer(groupsize=group, precision=dtype)
    model = quantizer.prepare(model)
    trained = model[0].weight_fake_quantizer(model[0].weight).detach()
    settings = QatConfig(
        enabled=True, weight_precision=Precision(str(dtype).split(".")[1]),
        scale_precision=Precision.float32,
    )  # fmt: skip
    grid = trained_grid(weight(dtype).float(), GridSpec(4, group), settings)
    assert torch.equal(grid.values().to(dtype), trained)
    converted = quantizer.convert(model)[0]
    assert torch.equal(grid.scale, converted.scales)
    # Its conversion divides by the scale where training multiplied with the reciprocal: values
    # between two integers may go to either. Training is what counts.
    assert (grid.q != converted.weight).float().mean() < 0.05
    assert (grid.q - converted.weight).abs().max() <= 1


@pytest.mark.parametrize("scale", Precision)
@pytest.mark.parametrize("domain", [None, *ZeroPointDomain])
def test_other_fake_quantizers(scale: Precision, domain: ZeroPointDomain | None) -> None:
    """Symmetric, and torchao's two kinds of zero points, which the offsets of a grid hold."""
    spec = GridSpec(4, 32, zero_point=domain is not None, scale_dtype=getattr(torch, scale.value))
    settings = QatConfig(
        enabled=True, scale_precision=scale, is_symmetric=domain is None,
        zero_point_domain=domain or ZeroPointDomain.integer, eps=1e-5,
    )  # fmt: skip
    if domain is ZeroPointDomain.float:
        config = _get_4w_weight_config(32, getattr(torch, scale.value))
        config.eps = 1e-5
    else:
        config = IntxFakeQuantizeConfig(
            torch.int4, group_size=32, is_symmetric=domain is None, eps=1e-5,  # type: ignore[attr-defined]
            scale_precision=getattr(torch, scale.value),
        )  # fmt: skip
    trained = IntxFakeQuantizer(config)(weight())
    grid = trained_grid(weight(), spec, settings)
    if domain is None:
        assert torch.equal(grid.values(), trained)
        return
    # The zero point is added in another order: one rounding of float32.
    torch.testing.assert_close(grid.values(), trained, rtol=1e-6, atol=1e-5)
    assert grid.offset is not None
    assert bool(grid.offset.any())


def test_a_kernel_that_keeps_less_of_a_scale_loses_little() -> None:
    """Scales of bfloat16 lose 55 dB; training with such scales loses nothing."""
    settings = QatConfig(enabled=True)
    kernel = GridSpec(4, 32, scale_dtype=torch.bfloat16)
    w = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    wanted = training_values(w, kernel, settings)
    grid = trained_grid(w, kernel, settings)
    assert 53 < sqnr(wanted, grid.values()) < 59
    # Rounding again with the kernel's scales would be far worse.
    rounded = known_grid(w, _choice(kernel), RoundingConfig())
    assert rounded is None
    matched = QatConfig(enabled=True, scale_precision=Precision.bfloat16)
    exact = trained_grid(w, kernel, matched)
    assert torch.equal(exact.values(), training_values(w, kernel, matched))


def test_training_knows_the_scales_of_every_backend() -> None:
    kept = {
        support.scale_dtype
        for table in map(TABLES.get, TABLES)
        for schemes in table.kinds.values()
        for support in schemes.values()
    }
    assert "float16" in kept
    for dtype in kept:
        choice = replace(_choice(GridSpec(4, 32)), scale_dtype=dtype)
        settings = trained_for(choice)
        wanted = training_values(weight(), choice.spec, settings)
        found = sqnr(wanted, trained_grid(weight(), choice.spec, settings))
        assert found == math.inf if dtype != "float16" else found > 70


def _choice(spec: GridSpec) -> LayerQuantSpec:
    model = torch.nn.Sequential(torch.nn.Linear(512, 64, bias=False))
    return resolve_rules(model, [QuantRule(scheme="8da4w", group_size=spec.group)], "xnnpack")[0]


def test_activations_of_training_are_those_of_the_program() -> None:
    """Of QATConfig's base configs exactly; of torchtune's but for tokens of almost nothing."""
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(
        -6, 3, 200
    ).unsqueeze(1)
    x[3], x[4], x[5] = 0, x[4].abs(), -x[5].abs()
    program = _apply_int8_act_asym_per_token_quant_dequant(x)
    assert torch.equal(activation_quantizer()(x), program)
    prepared: Any = torch.nn.Sequential(torch.nn.Linear(64, 8))
    quantize_(prepared, QATConfig(Int8DynamicActivationIntxWeightConfig(), step="prepare"))
    assert torch.equal(prepared[0].activation_fake_quantizer(x), program)
    tune = Int8DynActInt4WeightQATQuantizer(32).prepare(
        torch.nn.Sequential(torch.nn.Linear(64, 8))
    )[0]
    narrow = x.amax(1).clamp(min=0) - x.amin(1).clamp(max=0) < 255 * torch.finfo(x.dtype).eps
    differs = (tune.activation_fake_quantizer(x) != program).any(1)
    assert bool(differs.any())
    assert not bool((differs & ~narrow).any())


def test_modules_that_were_not_trained_are_left_to_rounding() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(8, 64), torch.nn.Linear(64, 8))
    rules = [QuantRule(scheme="8w", kind=ModuleKind.embedding), QuantRule(scheme="8da8w")]
    choices = with_training(resolve_rules(model, rules), QatConfig(enabled=True))
    assert [choice.qat is not None for choice in choices] == [False, True]
    assert known_grid(torch.randn(8, 64), choices[0], RoundingConfig()) is None
    _, how = known_grid(torch.randn(8, 64), choices[1], RoundingConfig())  # type: ignore[misc]
    assert how == "qat"


def test_a_description_that_fits_nothing_is_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 8))
    choices = resolve_rules(model, [QuantRule(scheme="8da8w")])
    with pytest.raises(RecipeError, match=r"no module that the rules quantize is of quant\.qat"):
        with_training(choices, QatConfig(enabled=True, pattern="layers.*"))


def test_zero_points_need_a_rule_that_has_them() -> None:
    settings = QatConfig(
        enabled=True, is_symmetric=False, zero_point_domain=ZeroPointDomain.float
    )  # fmt: skip
    with pytest.raises(RecipeError, match="has zero points, which the rule does not") as caught:
        trained_grid(weight(), GridSpec(4, 32), settings, "layers.0.up")
    assert "zero_point: true in the rule" in str(caught.value)
