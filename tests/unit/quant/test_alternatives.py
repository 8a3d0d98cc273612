"""The option that is named instead of one that loses too much."""

from __future__ import annotations

import re

import pytest

from llm_export.api import compose_recipe
from llm_export.config.quant_schema import AutoConfig, QuantConfig
from llm_export.fit.evidence import expected_loss
from llm_export.quant.alternatives import better_option, shipped_rules
from llm_export.resolve.partial_options import partial_options


def advice(name: str, backend: str) -> str | None:
    return better_option(QuantConfig(name=name, rules=shipped_rules()[name]), [backend])


@pytest.mark.parametrize(
    ("name", "backend", "better"),
    [
        ("8da4w", "xnnpack", "quant=8da4w_asym at the same size: mean KL 0."),
        ("8da4w_asym_small", "xnnpack", "quant=8da4w_asym_split at the same size: mean KL 0."),
        ("8da4w_asym_split", "xnnpack", "quant=8da4w_asym, the next finer option: mean KL 0."),
        ("8da4w_asym", "xnnpack", "quant=8da8w, the next finer option"),
        ("8a8w", "xnnpack", "quant=8da8w"),
        ("4w", "coreml", "quant=8w, the next finer option"),
        ("8w", "openvino", "quant=none"),
    ],
)
def test_better_options(name: str, backend: str, better: str) -> None:
    assert (advice(name, backend) or "").startswith(better)


@pytest.mark.parametrize(
    ("model", "partial"),
    [
        ("smollm2_135m", set()),
        ("gemma3_1b", {"8da8w_rotated"}),
        ("tiny", {"8da4w_asym_split"}),
        ("smolvlm2_256m", {"8da8w_rotated", "8da4w_asym_split"}),
    ],
)
def test_an_option_of_which_a_model_gets_a_part_has_no_figures(
    model: str, partial: set[str]
) -> None:
    for name in ("8da8w_rotated", "8da4w_asym_split"):
        recipe = compose_recipe(None, [f"model={model}", "backend=xnnpack", f"quant={name}"]).recipe
        assert partial_options(recipe) == partial
        assert expected_loss(recipe).measured == (name not in partial)


def test_an_option_that_the_model_excludes_is_not_advised() -> None:
    own = QuantConfig(name="8da8w", rules=shipped_rules()["8da8w"])
    assert "quant=8da8w_rotated at the same size" in str(better_option(own, ["xnnpack"]))
    assert "rotated" not in str(better_option(own, ["xnnpack"], ["8da8w_rotated"]))


def test_no_option_is_invented() -> None:
    assert advice("none", "xnnpack") is None
    assert advice("8a8w", "ethos_u") is None, "a backend of integers only has none that is finer"
    budget = better_option(QuantConfig(name="auto", auto=AutoConfig()), ["xnnpack"])
    assert budget is not None
    assert "quant.bits_per_weight" in budget


@pytest.mark.parametrize("name", list(shipped_rules()))
def test_an_advised_option_composes(name: str) -> None:
    told = re.match(r"quant=(\w+)", advice(name, "xnnpack") or "")
    if told:
        recipe = compose_recipe(None, ["model=tiny", "backend=xnnpack", told[0]]).recipe
        assert recipe.quant.name == told[1]
