"""What a run calibrates, as the cost model counts it."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.predict.calibration import work
from llm_export.predict.cost import predict
from llm_export.predict.size import bytes_of_outliers, sizes_of
from llm_export.resolve.recipe import ResolvedRecipe, resolve

SMOL = ["model=smollm2_135m", "backend=xnnpack"]
LINEARS, HEAD, TOKENS = 106.2e6, 49152 * 576, 1024


def resolved(*words: str) -> ResolvedRecipe:
    return resolve(api.compose_recipe(None, list(words)).recipe)


def counted(*words: str) -> dict[str, float]:
    found = resolved(*SMOL, *words)
    sizes = sizes_of(found)
    assert sizes is not None
    return work(found.recipe, sizes.choices)


def test_gptq_runs_each_layer_twice_and_solves_for_its_inputs() -> None:
    found = counted("quant=8da4w")
    assert found["calibrated"] == pytest.approx(2 * TOKENS * (LINEARS + HEAD) / 1e9, rel=0.01)
    assert found["searched"] == pytest.approx((LINEARS + HEAD) / 1e9, rel=0.01)
    assert found["columns"] == pytest.approx((30 * (3 * 576 + 1536) + 576) / 1e3)
    narrow = counted("quant=8da4w", "quant.rounding.widest=1000")
    assert narrow["columns"] == pytest.approx((30 * 3 * 576 + 576) / 1e3)


def test_the_grid_of_the_file_is_not_searched_unless_it_is_moved() -> None:
    # The checkpoint is in Q4_1: linears of 4 bits with zero points, in groups of 32.
    kept, other = counted("quant=8da4w_asym"), counted("quant=8da4w_asym", "quant.group_size=64")
    assert kept["searched"] == pytest.approx(HEAD / 1e9)
    moved = counted("quant=8da4w_asym", "+quant.rotate={r1: null}")
    assert moved["searched"] == other["searched"] == pytest.approx((LINEARS + HEAD) / 1e9, rel=0.01)
    assert (moved["rotated"] > 0, kept["rotated"]) == (True, 0)


def test_scaling_runs_the_text_through_the_model() -> None:
    plain = counted("quant=8da8w")
    assert plain["passed"] == pytest.approx((TOKENS + 2 * 256) * (LINEARS + HEAD) / 1e9, rel=0.01)
    assert plain["powers"] == plain["refined"] == plain["searched"] == 0
    awq = counted("quant=8da8w", "quant.smooth=null", "quant.awq={steps: 10}")
    assert awq["powers"] == pytest.approx(12 * TOKENS * (LINEARS + HEAD) / 1e9, rel=0.01)
    assert counted("quant=8da8w", "quant.smooth.steps=30")["refined"] > 0


def test_a_measured_choice_runs_the_rest_of_the_model_for_each_candidate() -> None:
    auto = ["quant=auto", "quant.bits_per_weight=6"]
    found = counted(*auto)["passed"]
    # Four linears of each layer with six candidates, from it to the end: half of the model.
    least = 30 * 4 * 6 * 512 * (LINEARS / 2 + HEAD) / 1e9
    assert least < found < 1.3 * least
    assert counted(*auto, "quant.auto.tokens=1024")["passed"] > 1.9 * found


def test_encoders_are_foreseen_where_they_may_be_built() -> None:
    recipe = resolve(api.compose_recipe("minilm_l6_xnnpack_8da8w").recipe)
    found, less = predict(recipe), predict(recipe, ["load", "export", "lower"])
    assert found is not None
    assert less is not None
    assert 40 < found.seconds < 90
    assert less.seconds < found.seconds / 2
    assert predict(recipe, build=False) is None
    assert predict(resolved("model=tiny_whisper", "backend=xnnpack", "quant=none")) is None


def test_of_a_mixture_a_token_runs_through_its_own_experts() -> None:
    words = ["model=qwen3_30b_a3b", "quant=auto", "quant.bits_per_weight=5"]
    found = {name: resolved(*words, f"backend={name}") for name in ("xnnpack", "mlx")}
    sizes = {name: sizes_of(each) for name, each in found.items()}
    assert [one and one.used for one in sizes.values()] == [8 / 128, 1.0]
    used, every = (
        work(found["xnnpack"].recipe, sizes["xnnpack"].choices, used=share)["passed"]  # type: ignore[union-attr]
        for share in (8 / 128, 1.0)
    )
    assert 8 < every / used < 16  # all but the attention and the head are of experts


def test_what_outlier_channels_of_every_linear_would_add_to_the_file() -> None:
    assert bytes_of_outliers(resolved(*SMOL, "quant=8da8w")) == 0
    # Four float32 values for each output channel of the 30 layers' linears.
    rows = 30 * (960 + 576 + 3072 + 576)
    found = bytes_of_outliers(resolved(*SMOL, "quant=8da4w_asym"))
    assert 16 * rows <= found < 17 * rows + 4 * 16 * 49152


def test_offsets_of_training_take_second_columns() -> None:
    rule = "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true}]"
    words = [*SMOL, rule, "quant.rounding.keep_grids=false", "quant.qat.is_symmetric=false",
             "quant.qat.zero_point_domain=float"]  # fmt: skip
    rounded, trained = (
        sizes_of(resolved(*words, f"quant.qat.enabled={on}")) for on in ("false", "true")
    )
    assert rounded is not None
    assert trained is not None
    # 18 groups take 32 columns in both, 48 take 96 instead of 64, with a scale for each 32.
    further = 30 * 576 * (32 // 2 + 2)
    assert trained.constants - rounded.constants == further
