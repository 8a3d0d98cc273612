"""The cache in int8: what it resolves to, who refuses it, and how exact it is."""

from __future__ import annotations

from dataclasses import replace

import executorch.kernels.quantized  # noqa: F401  (registers the runtime's kernels)
import pytest
import torch
from torch import Tensor

from llm_export import api
from llm_export.backends import xnnpack
from llm_export.checks.rules import cache_dtype_fits, find_problems
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe, Thresholds
from llm_export.models.components.attention_cores.int8 import (
    CustomOpInt8Core,
    QuantizedTensor,
    dequantized,
    plainly_quantized,
    quantized,
)
from llm_export.resolve.recipe import resolve
from llm_export.stages.verification.kv_cache_size import INT8_CACHE_KL, cache_remark
from llm_export.stages.verification.quality_limits import quality_limits
from llm_export.stages.verify import is_noisy

INT8 = "quant.kv_cache=int8"


def recipe_of(*words: str) -> Recipe:
    return api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe


def problems(*words: str) -> list[str]:
    return [str(problem) for problem in find_problems(recipe_of(*words))]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ((), "custom_op_int8"),
        (("runtime.attention=custom_op",), "custom_op_int8"),
        (("runtime.attention=plain",), "plain_int8"),
        (("backend=portable", "runtime=static"), "plain_int8"),
        (("model=mistral_7b_v0_1",), "custom_op_int8"),
        (("model=gemma2_2b",), "plain_int8"),
        (("model=gpt_oss_20b",), "plain_int8"),
    ],
)
def test_attention_over_an_int8_cache(words: tuple[str, ...], kind: str) -> None:
    random = "checkpoint.random_seed=0"
    assert resolve(recipe_of(random, *words, INT8)).attention == kind
    assert problems(random, *words, INT8) == []
    assert not resolve(recipe_of(random, *words)).attention.endswith("int8")


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        (
            ("runtime.kv_cache=attention_sink",),
            "an attention_sink cache is kept in float32 only",
            "runtime.kv_cache=static, or quant.kv_cache=float",
        ),
        (
            (
                "model=mistral_7b_v0_1",
                "checkpoint.random_seed=0",
                "runtime.kv_cache=ring",
                "runtime.context_length=8192",
            ),
            "a ring cache is kept in float32 only",
            "runtime.kv_cache=static, or quant.kv_cache=float",
        ),
        (
            ("runtime=npu",),
            "caches that a program takes and returns are float32 only",
            "quant.kv_cache=float, or runtime.attention=auto",
        ),
        (
            ("model=gemma2_2b", "checkpoint.random_seed=0", "runtime.attention=custom_op"),
            "the model gemma2_2b has no 'custom_op' attention over an int8 cache",
            "runtime.attention=auto, or runtime.attention=plain",
        ),
        (
            ("model=deepseek_v2_lite", "checkpoint.random_seed=0"),
            "the model deepseek_v2_lite has no int8 cache: its latent attention keeps one vector",
            "quant.kv_cache=float",
        ),
    ],
)
def test_who_cannot_have_one_says_so(words: tuple[str, ...], what: str, fix: str) -> None:
    found = problems(*words, INT8)
    assert len(found) == 1, found
    assert found[0].startswith(f"quant.kv_cache: {what}")
    assert found[0].endswith(f"fix:   {fix}")
    assert problems(*words) == [] or "custom_op" in words[-1]


@pytest.mark.parametrize("definition", ["hf", "torchtune"])
def test_other_definitions_have_none(definition: str) -> None:
    recipe = recipe_of("model=llama3_2_1b", f"model.definition={definition}", INT8)
    problem = (
        f"models of definition '{definition}' have no int8 cache",
        "quant.kv_cache=float, or model.definition=composable",
    )
    assert [(p.what, p.fix) for p in cache_dtype_fits(resolve(recipe))] == [problem]


def test_a_backend_without_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(*kinds: str) -> None:
        able = replace(xnnpack.BACKEND.capabilities, attention=kinds)
        monkeypatch.setattr(xnnpack, "BACKEND", replace(xnnpack.BACKEND, capabilities=able))

    offer("custom_op", "plain", "static_io")
    assert problems() == []
    assert problems(INT8) == [
        "quant.kv_cache: xnnpack has no int8 cache\n"
        "  fix:   quant.kv_cache=float, or backend=portable"
    ]
    offer("custom_op", "plain", "plain_int8")
    assert resolve(recipe_of(INT8)).attention == "plain_int8"
    assert problems(INT8) == []
    found = problems(INT8, "runtime.attention=custom_op")
    assert "xnnpack has no 'custom_op' attention over an int8 cache" in found[0]


def test_choices_of_attention_are_those_that_a_recipe_can_name() -> None:
    found = problems("model=gemma2_2b", "checkpoint.random_seed=0", "runtime.attention=custom_op")
    assert found[0].endswith(
        "fix:   runtime.attention=auto, or runtime.attention=plain, or runtime.attention=static_io"
    )


def test_an_int8_cache_is_noise_and_costs_quality() -> None:
    assert is_noisy((), CacheDtype.int8)
    assert not is_noisy((), CacheDtype.float)
    assert quality_limits(recipe_of()) == Thresholds(max_mean_kl=1e-5)
    assert quality_limits(recipe_of(INT8)) == Thresholds(max_mean_kl=1e-5 + INT8_CACHE_KL)
    stated = recipe_of(INT8, "verify.quality.max_mean_kl=0.001")
    assert quality_limits(stated) == Thresholds(max_mean_kl=0.001), "what is stated stands"


# -- arithmetic ----------------------------------------------------------------------------


def rows() -> dict[str, Tensor]:
    x = torch.randn(1, 40, 3, 16, generator=torch.Generator().manual_seed(0))
    return {
        "normal": x, "small": x * 1e-3, "all positive": x.abs() + 3, "all negative": x - 9,
        "zeros": torch.zeros_like(x), "an outlier": torch.where(x > 2, 100 * x, x),
    }  # fmt: skip


@pytest.mark.parametrize("name", rows())
@pytest.mark.parametrize("quantize", [quantized, plainly_quantized])
def test_every_row_has_its_own_256_values(name: str, quantize: object) -> None:
    x = rows()[name]
    parts: QuantizedTensor = quantize(x)  # type: ignore[operator]
    values, scale, zero = parts
    assert (values.dtype, scale.dtype, zero.dtype) == (torch.int8, torch.float32, torch.int8)
    assert scale.shape == zero.shape == (1, 40, 3, 1)
    span = x.amax(-1, keepdim=True).clamp(min=0) - x.amin(-1, keepdim=True).clamp(max=0)
    assert ((dequantized(*parts) - x).abs() <= span / 255 * 1.001).all()


def test_the_runtimes_kernel_agrees_on_small_ranges() -> None:
    """It takes no scale below 6.1e-5; that is why ``quantized`` lifts its input."""
    x = rows()["small"]

    def kernel(x: Tensor) -> Tensor:
        scale = torch.empty(1, 40, 3, 1, dtype=torch.float64)
        zero = torch.empty(1, 40, 3, 1, dtype=torch.int64)
        torch.ops.quantized_decomposed.choose_qparams_per_token_asymmetric.out(
            x, torch.int8, scale_out=scale, zero_point_out=zero
        )
        return scale

    torch.testing.assert_close((kernel(x * 1024) / 1024).float(), quantized(x)[1])
    assert (kernel(x).float() > 2 * quantized(x)[1]).all()


def test_an_unwritten_cache_holds_zeros() -> None:
    from llm_export.models.components.attention_cores import CoreShape, Ring

    core = CustomOpInt8Core(CoreShape(4, 2, 16, 16, 0.25), lambda window: Ring(64))
    core.init_buffers()
    assert not dequantized(*core.parts("k_cache")).any()
    assert cache_remark(core) == "0.0 MB of int8 caches (0.0 MB in float32)"
