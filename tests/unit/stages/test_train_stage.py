"""The train stage: what it changes, keeps, resumes and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import pytest
import qat_tools as tools
import torch
from torch.nn.utils import parametrize

from llm_export import api
from llm_export.bundle.proof import ComparisonResult
from llm_export.checks.rules import require_sound
from llm_export.compat.torchtune_package import torchtune_is_installed
from llm_export.config.train_schema import TrainLoss
from llm_export.errors import InputError, RecipeError
from llm_export.evaluation.eval_text import shipped_text
from llm_export.pipeline.artifacts import Prepared
from llm_export.quant.qat import training_values
from llm_export.resolve.recipe import resolve
from llm_export.stages.train import loop_settings, train
from llm_export.stages.training.loop import fit
from llm_export.stages.training.losses import cross_entropy
from llm_export.stages.training.qat import train_form
from llm_export.stages.training.student import forward_of
from llm_export.stages.training.text import training_windows, verified_tokens
from llm_export.stages.verification.metrics import window_count, windows
from llm_export.stages.verification.quality_limits import (
    RANDOM_WEIGHTS_KL,
    perplexity_problems,
    quality_limits,
)

SHORT = ("train.steps=20", "train.window=32", "train.batch=4", "train.warmup=3",
         "train.max_windows=40")  # fmt: skip
FULL = ("train=qat", "train.learning_rate=5e-4", *SHORT)
STATIC = (*FULL, "runtime.attention=plain",
          "quant.rules=[{kind: linear, scheme: 8a8w}, {kind: head, scheme: 8a8w}]")  # fmt: skip
LORA = ("train=qat_lora", "train.learning_rate=1e-3", "train.lora.rank=8", *SHORT)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose logits are far apart, so that 4 bits hurt it."""
    return hf_models.save(hf_models.llama(), tmp_path_factory.mktemp("llama"))


def weights(prepared: Prepared) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in prepared.model.named_parameters()}


def held_out(prepared: Prepared) -> torch.Tensor:
    """[1, 64] from the end of the text, which these short trainings do not reach."""
    tokenizer = tools.tokenizer_of(prepared.source)
    return torch.tensor([tokenizer.encode(shipped_text(), add_special_tokens=False).ids[-64:]])


def float_logits(prepared: Prepared) -> torch.Tensor:
    with torch.no_grad():
        return forward_of(prepared.model)(held_out(prepared))[0]


# -- what it does --------------------------------------------------------------------------


@pytest.mark.parametrize("words", [FULL, LORA], ids=["full", "lora"])
def test_training_brings_the_quantized_model_back(words: tuple[str, ...], llama: Path) -> None:
    recipe = tools.recipe_of(*words, folder=llama)
    require_sound(recipe)
    prepared = tools.prepared_of(recipe)
    reference, before = float_logits(prepared), weights(prepared)
    plain, _ = tools.quantized_of(recipe, tools.prepared_of(recipe))
    trained, facts = tools.trained_of(recipe, prepared)
    assert trained.model.attention_kind == "plain"
    assert not any(parametrize.is_parametrized(m) for m in trained.model.modules())
    assert facts["loss"] == "KL to the float model"
    assert len(facts["curve"]) == 20
    assert facts["loss_after"] < 0.7 * facts["loss_before"]
    assert f"{facts['loss_before']:.3g} -> {facts['loss_after']:.3g} nats" in facts["summary"]
    changed = {n for n, p in trained.model.named_parameters() if not torch.equal(p, before[n])}
    linears = {f"{c.name}.weight" for c in prepared.choices if c.kind.value == "linear"}
    assert changed == linears
    quantized, noted = tools.quantized_of(recipe, trained)
    assert noted["trained_values"]["exact"] == noted["trained_values"]["modules"] == 9
    found, former = (
        tools.mean_kl(reference, tools.logits(model, held_out(trained)))
        for model in (quantized, plain)
    )
    assert found < 0.8 * former


def test_the_exported_model_is_the_trained_one(llama: Path) -> None:
    """Fake-quantized logits during training equal those of the model that is exported."""
    recipe = tools.recipe_of(*FULL, folder=llama)
    prepared = tools.prepared_of(recipe)
    prepared.model.set_attention("cacheless")
    ids = training_windows(recipe, prepared.source)
    with train_form(prepared.model, prepared.choices, recipe.train) as form:
        forward = forward_of(prepared.model)
        fit(prepared.model, form.trained, ids, cross_entropy(forward), loop_settings(recipe.train))
        with torch.no_grad():
            expected = forward(tools.IDS)[0]
    prepared.model.set_attention("plain")
    trained = replace(prepared, choices=form.choices)
    exported, _ = tools.quantized_of(recipe, trained)
    assert tools.mean_kl(expected, tools.logits(exported)) < 1e-5
    # The same weights, rounded as if they had not been trained for these grids.
    for rules in ("8da4w, group_size: 64", "8da4w"):
        other = tools.recipe_of(
            f"quant.rules=[{{kind: linear, scheme: {rules}, pattern: '.*(qkv|out|up).*'}},"
            f"{{kind: head, scheme: {rules}}}]", folder=llama,
        )  # fmt: skip
        again = tools.prepared_of(other)
        again.model.load_state_dict(_plain_state(recipe, llama), strict=False)
        differs, _ = tools.quantized_of(other, again)
        assert tools.mean_kl(expected, tools.logits(differs)) > 1e-3


def _plain_state(recipe: Any, folder: Path) -> dict[str, torch.Tensor]:
    plain = replace(recipe, train=replace(recipe.train, loss=TrainLoss.cross_entropy))
    trained, _ = tools.trained_of(plain)
    return trained.model.state_dict()


def test_tied_embeddings_stay_one_weight(tmp_path: Path) -> None:
    folder = hf_models.save(hf_models.llama(tie_word_embeddings=True), tmp_path / "tied")
    words = (*FULL, "train.kinds=[linear,embedding]", "quant.rules=[{kind: embedding, scheme: 8w},"
             "{scheme: 8da4w, group_size: 32}]")  # fmt: skip
    recipe = tools.recipe_of(*words, folder=folder)
    prepared = tools.prepared_of(recipe)
    before = weights(prepared)
    trained, facts = tools.trained_of(recipe, prepared)
    model: Any = trained.model
    assert model.input_embedding().weight is model.get_submodule(model.head_name).weight
    assert not torch.equal(model.input_embedding().weight, before["embed.weight"])
    assert "embed.parametrizations.weight.original" in facts["trained_parameters"]
    lora = tools.recipe_of(*LORA, "train.kinds=[linear,head]", words[-1], folder=folder)
    with pytest.raises(RecipeError, match="is also the embedding's: factors of one"):
        tools.trained_of(lora)


def test_what_is_not_trained_is_computed_with_its_quantized_values(llama: Path) -> None:
    recipe = tools.recipe_of(*FULL, folder=llama)
    prepared = tools.prepared_of(recipe)
    head: Any = prepared.model.get_submodule("head")
    before = head.weight.detach().clone()
    with train_form(prepared.model, prepared.choices, recipe.train) as form:
        choice = next(c for c in form.choices if c.name == "head")
        assert choice.qat is not None
        assert torch.equal(head.weight, training_values(before, choice.spec, choice.qat))
        assert not any(name.startswith("head") for name in form.trained)
    assert torch.equal(head.weight, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "definition",
    [
        "hf",
        pytest.param(
            "torchtune",
            marks=pytest.mark.skipif(not torchtune_is_installed(), reason="no torchtune"),
        ),
    ],
)
def test_other_definitions_train_too(definition: str, llama: Path) -> None:
    recipe = tools.recipe_of(*FULL, f"model.definition={definition}", folder=llama)
    trained, facts = tools.trained_of(recipe)
    assert facts["loss_after"] < 0.7 * facts["loss_before"]
    _, noted = tools.quantized_of(recipe, trained)
    assert noted["trained_values"]["exact"] == noted["trained_values"]["modules"]


def test_off_changes_nothing(llama: Path) -> None:
    recipe = tools.recipe_of(folder=llama)
    prepared = tools.prepared_of(recipe)
    trained, facts = tools.trained_of(recipe, prepared)
    assert trained is prepared
    assert facts == {"summary": "off"}


# -- resuming ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(FULL, id="full"),
        pytest.param(LORA, id="lora", marks=pytest.mark.slow),
        pytest.param(STATIC, id="static", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes(words: tuple[str, ...], llama: Path, tmp_path: Path) -> None:
    few = ("train.steps=8", "train.batch=1", "train.checkpoint_every=3")
    recipe = tools.recipe_of(*words, *few, folder=llama)
    whole, expected = tools.trained_of(recipe)
    folder = tmp_path / "cache" / "training"
    assert not list(folder.glob("*")), "a finished training leaves nothing"

    ctx = tools.context()

    def killed(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    ctx.progress = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(tools.prepared_of(recipe), resolve(recipe), ctx)
    assert len(list(folder.glob("*.safetensors"))) == 1
    # Another recipe does not take it up.
    other, facts = tools.trained_of(replace(recipe, train=replace(recipe.train, seed=1)))
    assert facts["resumed_at"] is None
    again, resumed = tools.trained_of(recipe)
    assert resumed["resumed_at"] == 6
    assert resumed["curve"] == expected["curve"]
    for name, value in weights(whole).items():
        assert torch.equal(weights(again)[name], value), name
    assert bool(again.ranges) == (words is STATIC)
    for place, state in whole.ranges.items():
        assert all(torch.equal(again.ranges[place][key], value) for key, value in state.items())
    assert any(not torch.equal(weights(other)[n], p) for n, p in weights(whole).items())
    assert not list(folder.glob("*"))


# -- text ----------------------------------------------------------------------------------


def test_the_text_of_verification_is_not_trained_on(llama: Path) -> None:
    words = ("train=qat", "train.window=16", "verify=default", "verify.positions=300",
             "verify.window=64", "verify.prefill=16")  # fmt: skip
    recipe = tools.recipe_of(*words, folder=llama)
    source = tools.prepared_of(recipe).source
    found = training_windows(recipe, source)
    tokenizer = tools.tokenizer_of(source)
    ids = tokenizer.encode(shipped_text(), add_special_tokens=False).ids
    taken = verified_tokens(recipe)
    count = window_count(recipe.verify)
    assert taken > sum(len(w) - 1 for w in windows(ids, 64, count)) > 0
    assert found[0].tolist() == ids[taken : taken + 17]
    assert found.shape == ((len(ids) - taken - 1) // 16, 17)
    off = replace(recipe, verify=replace(recipe.verify, enabled=False))
    assert training_windows(off, source)[0].tolist() == ids[:17]


def test_another_text_is_read_whole(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("abc " * 30)
    stated = tools.recipe_of("train=qat", "train.window=16", f"train.text={file}",
                             "verify=default", "train.max_windows=3", folder=llama)  # fmt: skip
    recipe = resolve(stated).recipe
    source = tools.prepared_of(recipe).source
    assert training_windows(recipe, source).shape == (3, 17)
    long = replace(recipe, train=replace(recipe.train, window=500))
    with pytest.raises(InputError, match=r"the text has \d+ tokens; a window of training") as found:
        training_windows(long, source)
    assert "a longer train.text, a smaller train.window" in str(found.value)
    same = replace(recipe, verify=replace(recipe.verify, text=str(file)))
    with pytest.raises(InputError, match="of which verification reads 2048"):
        training_windows(same, source)


# -- what is refused -----------------------------------------------------------------------

MISTAKES = [
    (["quant=none"], "no rule quantizes anything: there is nothing to train for", "train=off"),
    (["checkpoint.adapter=.", "checkpoint.adapter_mode=separate"],
     "training changes the weights that a separate adapter was made for",
     "checkpoint.adapter_mode=merged"),
    (["quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true}]"],
     "zero_point is beside the quantized product, where nothing is trained",
     "quant.rules.0.zero_point=false"),
    (["quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, outliers: 2}]"],
     "outliers is beside the quantized product", "quant.rules.0.outliers=0"),
    (["runtime.context_length=128", "runtime.prefill_length=32", "train.window=256"],
     "a window of 256 tokens exceeds the context of 128", "train.window=null"),
    (["train.text=missing.txt"], "there is no such text file: missing.txt", "train.text=FILE"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "what", "fix"), MISTAKES)
def test_recipes_that_cannot_be_trained_are_refused(words: list[str], what: str, fix: str) -> None:
    default = [] if "quant=none" in words else ["quant=8da4w"]
    base = ["model=tiny", "backend=xnnpack", "verify=off", "benchmark=off", "train=qat"]
    recipe = api.compose_recipe(None, [*base, *default, *words]).recipe
    with pytest.raises(RecipeError) as caught:
        require_sound(recipe)
    assert what in str(caught.value)
    assert fix in str(caught.value)


def test_patterns_that_match_nothing_are_refused(llama: Path) -> None:
    recipe = tools.recipe_of(*LORA, "train.lora.targets=nothing", folder=llama)
    with pytest.raises(RecipeError, match="no module of kinds linear matches 'nothing'") as caught:
        tools.trained_of(recipe)
    assert caught.value.where == "train.lora.targets"


def test_values_that_cannot_be_are_refused() -> None:
    for word, text in (
        ("train.steps=0", "must be positive"),
        ("train.lora.rank=0", "must be positive"),
        ("train.window=1", "must be at least 2"),
        ("train.kinds=[]", "must name a kind"),
        ("train.loss=mse", "distill, cross_entropy"),
    ):
        with pytest.raises(RecipeError, match=text):
            api.compose_recipe(None, ["model=tiny", "train=qat_lora", word])


# -- verification --------------------------------------------------------------------------


def test_quality_is_held_against_what_training_meant() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant=8da4w"]
    recipe = api.compose_recipe(None, words).recipe
    # Of random weights, whose loss says nothing of the scheme; a checkpoint has the option's limit.
    assert quality_limits(recipe).max_mean_kl == RANDOM_WEIGHTS_KL
    real = replace(recipe, checkpoint=replace(recipe.checkpoint, path="x", random_seed=None))
    assert quality_limits(real) == recipe.verify.quality
    distilled = api.compose_recipe(None, [*words, "train=qat", "train.max_mean_kl=0.7"]).recipe
    assert quality_limits(distilled).max_mean_kl == 0.7
    on_text = replace(distilled, train=replace(distilled.train, loss=TrainLoss.cross_entropy))
    assert quality_limits(on_text).max_mean_kl is None
    quality = ComparisonResult(9, {"perplexity": 30.0, "reference_perplexity": 10.0})
    assert perplexity_problems(recipe, quality) == []
    (problem,) = perplexity_problems(distilled, quality)
    assert problem == (
        "perplexity 30 is 3 times that of the float32 model before training, more than 2"
    )
    assert (
        perplexity_problems(
            distilled, replace(quality, values={**quality.values, "perplexity": 19.0})
        )
        == []
    )
    lost = replace(quality, values={**quality.values, "perplexity": float("nan")})
    (nan,) = perplexity_problems(distilled, lost)
    assert "nan" in nan
