"""What fits a device: rows, choice, refusals, and predictions against exported programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.errors import RecipeError
from llm_export.fit.candidates import find_candidates
from llm_export.fit.choose import Fitting, choose
from llm_export.fit.fit import compare
from llm_export.fit.table import screen
from llm_export.predict.device_memory import device_memory
from llm_export.resolve.recipe import resolve

Compared = tuple[int, tuple[Fitting, ...]]


@pytest.fixture(scope="module")
def compared() -> Compared:
    """A mid-size model; nothing is read but its option."""
    words = ["model=llama3_2_1b", "backend=xnnpack"]
    return compare(find_candidates(Composer(), words), None)


def _chosen(compared: Compared, bound: int, *, extend: bool = True) -> Fitting | None:
    try:
        return choose(compared[1], bound, compared[0], extend=extend)
    except RecipeError:
        return None


BOUNDS = st.integers(0, 40_000_000_000)


@given(first=BOUNDS, second=BOUNDS, extend=st.booleans())
def test_more_memory_never_gives_a_worse_choice(
    compared: Compared, first: int, second: int, extend: bool
) -> None:
    less, more = sorted((first, second))
    poorer = _chosen(compared, less, extend=extend)
    richer = _chosen(compared, more, extend=extend)
    for found, bound in ((poorer, less), (richer, more)):
        assert found is None or found.memory.whole <= bound
        assert found is None or found.context >= compared[0]
    if poorer is None:
        return
    assert richer is not None
    assert richer.expected.mean_kl <= poorer.expected.mean_kl
    if richer.scheme == poorer.scheme:
        assert richer.context >= poorer.context


def test_rows_are_ordered_by_measured_quality_and_say_of_which_model(compared: Compared) -> None:
    wanted, rows = compared
    first: dict[str, Fitting] = {}
    for row in rows:
        if row.context == wanted:
            first.setdefault(row.quant, row)
    names = list(first)
    assert names.index("none") < names.index("8da8w") < names.index("8da4w_asym")
    assert names.index("8da4w_asym") < names.index("8da4w")
    assert first["8da8w"].expected.source == "measured with SmolLM2-135M-Instruct on xnnpack"
    assert not first["8da8w"].expected.same_model
    assert not first["fp16"].expected.measured
    assert first["8da8w"].cache == "float", "the KV cache that keeps most comes first"
    of_8da8w = {row.cache: row.memory for row in rows if row.quant == "8da8w"
                and row.context == wanted}  # fmt: skip
    assert of_8da8w["bfloat16"].caches * 2 == of_8da8w["float"].caches
    assert of_8da8w["int8"].caches < of_8da8w["bfloat16"].caches


def test_what_does_not_fit_is_refused_with_the_nearest_that_does(compared: Compared) -> None:
    wanted, rows = compared
    with pytest.raises(RecipeError, match=r"nothing fits 1.0 MB .* the smallest is quant=") as none:
        choose(rows, 1_000_000, wanted, extend=True)
    assert "a smaller model" in str(none.value)
    least = min(row.memory.whole for row in rows if row.context == wanted)
    with pytest.raises(RecipeError, match="--context 1024, which fits with quant="):
        choose(rows, least - 1, wanted, extend=True)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["backend=xnnpack", "quant=8da8w"], "device_memory", "4 apples"),
        (["backend=xnnpack", "quant=8da8w"], "share", 1.5),
        (["backend=xnnpack", "quant=8da8w"], "context", 1),
        (["backend=xnnpack", "quant=8da8w"], "context", 1 << 20),
        (["backend=xnnpack", "quant=8da8w", "runtime.context_length=64"], "context", 64),
    ],
)
def test_wrong_arguments_are_named(words: list[str], key: str, value: object) -> None:
    given = {"device_memory": "1GB", key: value}
    with pytest.raises(RecipeError) as caught:
        api.fit(None, ["model=tiny", *words], **given)  # type: ignore[arg-type]
    assert caught.value.where
    assert f"--{key.replace('_', '-')}" in caught.value.where


def test_an_override_stays_and_the_file_is_a_recipe(
    tmp_path: Path, cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "phone.yaml"
    words = ["model=tiny", "backend=xnnpack", "quant=8da4w", "quant.kv_cache=float"]
    found = api.fit(None, words, device_memory="1GB", context=128, out=file)
    assert {row.scheme for row in found.rows} >= {("8da4w", "float")}
    assert all(row.quant == "8da4w" and "int8" not in row.cache for row in found.rows)
    text = screen(found)
    assert f"chosen: {' '.join(found.overrides)}" in text
    assert "8da4w*" in text
    assert "measured with SmolLM2-135M-Instruct on xnnpack, not this model" in text
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, screen(found).splitlines())) <= 110
    assert api.compose(file).recipe.runtime.context_length == 128
    done = cli("fit", *words, "--device-memory", "1GB", "--json", "--context", "128")
    body = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert body["chosen"]["overrides"] == list(found.overrides)
    assert body["bound"] == 600_000_000
    assert all(row["fits"] == (row["bytes"]["whole"] <= body["bound"]) for row in body["rows"])


def test_the_generic_tier_is_refused() -> None:
    with pytest.raises(RecipeError, match="not known before they are loaded"):
        api.fit(None, ["model=tiny", "model.definition=hf", "quant=none"], device_memory="1GB")


def test_predictions_are_those_of_an_exported_program(quantized_bundle: Path) -> None:
    recipe = api.compose(quantized_bundle / "recipe.yaml").recipe
    found = device_memory(resolve(recipe))
    assert found is not None
    manifest = json.loads((quantized_bundle / "manifest.json").read_text())
    assert found.caches == manifest["program"]["cache"]["bytes"]
    size = (quantized_bundle / "model.pte").stat().st_size
    assert size <= found.program <= size + (1 << 20)  # instructions matter in so small a program


def test_of_a_long_context_no_more_keys_are_copied_than_xnnpack_reads() -> None:
    """8 KV heads of 64 channels: 65,536 keys are 128 MiB in float32, and so are the values."""
    found = []
    for context in (65_536, 131_072):
        words = ["model=llama3_2_1b", "backend=xnnpack", "quant=8da4w",
                 f"runtime.context_length={context}"]  # fmt: skip
        memory = device_memory(resolve(api.compose_recipe(None, words).recipe))
        assert memory is not None
        found.append(memory.activations)
    assert found[0] == found[1]


def test_the_fused_operator_holds_no_scores() -> None:
    def activations(context: int, *words: str) -> int:
        words = ("model=llama3_2_1b", "quant=8da4w", f"runtime.context_length={context}", *words)
        memory = device_memory(resolve(api.compose_recipe(None, words).recipe))
        assert memory is not None
        return memory.activations

    fused = ("backend=xnnpack", "backend.options.delegated_prefill=false")
    assert activations(65_536, *fused) == activations(1024, *fused)
    assert activations(65_536, "backend=xnnpack") > activations(65_536, *fused)
    chained = ("backend=vulkan+xnnpack", "runtime.attention=custom_op_by_head")
    assert activations(65_536, *chained) == activations(1024, *chained)
