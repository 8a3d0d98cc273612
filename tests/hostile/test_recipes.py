"""Recipes, options and overrides that were written to hang, to fill memory, to read the machine or
to raise what nobody can read."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import yaml
from hostile.any_recipe import body, override
from hostile.outcomes import Outcomes, limit

from llm_export import api
from llm_export.config.library import ORIGIN
from llm_export.config.name_patterns import name_pattern, require_pattern
from llm_export.errors import LlmExportError, RecipeError

LONG = "x" * 3000
EXPONENTIAL = ("((?:.|..|...)*)*[XY]", "(?:(?:(?:.{0,1000}){0,1000}){0,1000}){0,1000}[XY]")
HONEST = (".*", r"layers\.\d+\.attention\..*", r"(?!.*vision).*q_proj", "head|embed",
          r"layers\.(?:0|1[0-5])\.feed_forward\.(?:gate_up|down)")  # fmt: skip


# -- patterns and rules --------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [*EXPONENTIAL, "(" * 400 + "a" + ")" * 400, "(", "a" * 1001])
@pytest.mark.parametrize(
    "override",
    [
        "quant.rules=[{scheme: 8da8w, pattern: '%s'}]",
        "quant.smooth.pattern='%s'",
        "quant.awq.pattern='%s'",
        "quant.qat.pattern='%s'",
        "train.lora={targets: '%s'}",
    ],
)
def test_a_pattern_without_end_is_refused(override: str, pattern: str) -> None:
    with limit(10), pytest.raises(RecipeError, match=r"pattern|regular expression") as caught:
        api.compose_recipe(None, [override % pattern])
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize("pattern", HONEST)
def test_honest_patterns_cost_microseconds(pattern: str) -> None:
    require_pattern(pattern)
    known = name_pattern(pattern)
    begun = time.process_time()
    for layer in range(200):
        known.matches(f"layers.{layer}.feed_forward.down")
    assert time.process_time() - begun < 0.1


def test_a_pattern_that_is_slow_on_a_checkpoints_own_names_ends() -> None:
    known = name_pattern(r"(?:(?:b|bb|bbb)*)*[XY]")
    with limit(10), pytest.raises(RecipeError, match="exponential"):
        any(known.matches("b" * 60 + str(layer)) for layer in range(100_000))


def test_the_number_of_rules_is_limited(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    rule = "    - {kind: linear, scheme: 8da8w}\n"
    file.write_text("defaults: [export_base, _self_]\nquant:\n  rules:\n" + 2000 * rule)
    with limit(10), pytest.raises(RecipeError, match="2000 rules, of which at most 1000"):
        api.compose_recipe(str(file))


# -- options of strangers ------------------------------------------------------------------


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder of options, of which most are broken, and a recipe."""
    for name, text in {
        "model/evil.yaml": "description: 'key ${oc.env:HOME}'\nname: evil\n",
        "quant/bad.yaml": "[unclosed",
        "quant/list.yaml": "[1, 2]",
        "quant/deep.yaml": "a: " + "[" * 100,
        "quant/bomb.yaml": "a: &a [x, x]\nb: [*a, *a]\n",
        "quant/binary.yaml": "\x00\x01",
        "quant/python.yaml": "a: !!python/object/apply:os.getcwd []\n",
        "quant/good.yaml": "name: good\ndescription: a good one\nrules: []\n",
        "stranger.yaml": "description: '${oc.env:HOME}'\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_broken_option_is_listed_with_its_reason_beside_the_others(folder: Path) -> None:
    (listing,) = api.ls("quants", str(folder))
    rows = {row.name: row.text for row in listing.rows()}
    assert rows["good"] == "a good one"
    assert "8-bit" in rows["8da8w"]
    for name in ("bad", "list", "deep", "bomb", "binary", "python"):
        assert rows[name].startswith("broken: "), rows[name]
        assert f"{name}.yaml" in rows[name]
    assert api.explain("quant.group_size", str(folder))[0].options


def test_options_of_a_folder_read_nothing_of_the_machine(folder: Path) -> None:
    said = [
        row.text for kind in ("models", "recipes") for row in api.ls(kind, str(folder))[0].rows()
    ]
    assert not any(os.environ["HOME"] in text for text in said)
    for words in (["model=evil"], ["quant=bomb"], ["quant=python"], ["quant=list"]):
        with pytest.raises(RecipeError) as caught:
            api.compose_recipe(None, words, str(folder))
        assert os.environ["HOME"] not in str(caught.value)
    with pytest.raises(RecipeError, match="resolvers"):
        api.compose_recipe("stranger", [], str(folder))


# -- types and messages --------------------------------------------------------------------

WRONG = [
    "runtime.transforms=[[a]]", "runtime.transforms=[{a: b}]", "backend.fallbacks=[[xnnpack]]",
    "quant.calibration=${quant.group_size}", "quant.smooth=${quant.calibration}",
    "quant.smooth=3", "quant.rules=[null]", "quant.rules=${quant.calibration}", "quant=null",
    "runtime=${model}", "verify.quality=${quant.rules}", "deploy.questions=[[1]]",
    "train.kinds=${quant.rules}", "description=${quant}", "name=${name}",
    "model.config.num_hidden_layers=[2]", "model.config.num_hidden_layers=1000000000",
    "model.config.hidden_size=${quant}", "runtime.context_length=99999999999999999999",
    f"checkpoint.path={LONG}", f"out={LONG}", f"verify.text={LONG}", f"runtime.transforms=[{LONG}]",
    f"quant.calibration.text={LONG}", f"{LONG}=3", f"quant={LONG}", f"model.family={LONG}",
    f"runtime.context_length={LONG}", f"quant.rules=[{{scheme: {LONG}}}]", f"name={LONG}/",
    f"quant.rules=[{{scheme: 8w, layers: '{LONG}'}}]", f"backend.options={{{LONG}: 1}}",
]  # fmt: skip


def check(overrides: list[str], source: str | None = None) -> None:
    """Compose and check.

    Raises:
        RecipeError: for the first problem too.
    """
    if problems := api.check(source, overrides):
        raise RecipeError(problems[0].what, where=problems[0].key, fix=problems[0].fix)


@pytest.mark.parametrize("override", WRONG, ids=[word[:40] for word in WRONG])
def test_a_value_of_another_kind_is_refused_in_short_words(override: str) -> None:
    with limit(10), pytest.raises(LlmExportError) as caught:
        check([override])
    assert len(str(caught.value)) < 1000
    assert str(caught.value).count("\n") <= 2


def test_control_characters_of_a_value_are_not_printed() -> None:
    said = str(RecipeError("no '\x1b[2J\r\x07'", where="a\x1b]0;x\x07", fix="b\x9b"))
    assert said.replace("\n", "").isprintable()


# -- anything ------------------------------------------------------------------------------


def attempt(outcomes: Outcomes, seed: int, scratch: Path) -> None:
    rng = random.Random(seed)
    if rng.random() < 0.6:
        words = [override(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        outcomes.attempt("overrides", f"seed {seed} {words}", lambda: check(words))
        return
    made, words = body(rng), [override(rng)] if rng.random() < 0.2 else []
    file = scratch / "any.yaml"
    file.write_text(yaml.safe_dump(made, allow_unicode=True))
    mark = scratch / ORIGIN
    if theirs := rng.random() < 0.5:
        mark.write_text("{}")
    kind = "recipes of others" if theirs else "recipes"
    outcomes.attempt(kind, f"seed {seed} {made} {words}", lambda: check(words, str(file)))
    mark.unlink(missing_ok=True)


def spoil(scratch: Path, seeds: range) -> None:
    outcomes = Outcomes("recipes")
    for seed in seeds:
        attempt(outcomes, seed, scratch)
    outcomes.finish()


def test_any_recipe_is_checked_or_refused_in_words(tmp_path: Path) -> None:
    spoil(tmp_path, range(40))


@pytest.mark.release
@pytest.mark.parametrize("part", range(20))
def test_many_recipes_and_overrides(part: int, tmp_path: Path) -> None:
    tries = int(os.environ.get("LLM_EXPORT_HOSTILE_TRIES", "100000")) // 20
    spoil(tmp_path, range(10**6 + part * tries, 10**6 + (part + 1) * tries))
