"""What ``validate`` says of tasks: options, limits and lengths that a run would stumble over."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.checkpoint_text import tokenizer_facts
from llm_export.checks.rules import find_problems


def problems(*overrides: str) -> list[str]:
    return [str(p) for p in find_problems(api.compose_recipe(None, list(overrides)).recipe)]


EMBED, SEE, TRANSLATE = "model=tiny_embed", "model=tiny_see", "model=tiny_t5"
WHISPER, MOONSHINE = "model=tiny_whisper", "model=tiny_moonshine"
OPTIONS = "model.task_options"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("model=tiny", f"{OPTIONS}.beams=2"), "the task generate has no option 'beams'"),
        (("model=tiny", "verify.limits.error=2"), "the task generate does not measure 'error'"),
        ((SEE, "verify.limits.image_kll=2"), "did you mean 'image_kl'?"),
        ((SEE, "runtime.context_length=19"), "runtime.context_length=20"),
        ((SEE, "model.config.image_token_id=320"), "none of the vocabulary's 320 ids"),
        ((SEE, "backend.methods.encoder=portable"), "has no method 'encoder'"),
        ((EMBED, "runtime.attention=custom_op"), "no 'custom_op' attention"),
        ((WHISPER, "runtime.attention=static_io"), "no 'static_io' attention"),
        ((EMBED, "deploy.targets=[foo]"), "there is no consumer 'foo'"),
        ((EMBED, "backend.etrecord=true"), "has no ETRecord"),
        ((EMBED, "benchmark.profile=true"), "has no profile in a run"),
        ((SEE, "deploy.targets=[optimum]"), "takes programs with the methods"),
        ((EMBED, "runtime.logits=all"), "runtime.logits"),
        ((EMBED, "checkpoint.adapter_mode=separate"), "no adapter to keep separate"),
        ((EMBED, f"{OPTIONS}.max_length=0"), "max_length=0 is no number of tokens"),
        ((EMBED, f"{OPTIONS}.pooling=3"), "pooling: 3 is not a text"),
        ((EMBED, f"{OPTIONS}.lengths=[a]"), "lengths[0]: 'a' is not a whole number"),
        ((EMBED, "model.config.pad_token_id=x"), "pad_token_id='x' is no token id"),
        ((EMBED, "model.config.pad_token_id=400"), "none of the vocabulary's 320 ids"),
        ((TRANSLATE, f"{OPTIONS}.prefixes.a=3"), "prefixes.a: 3 is not a text"),
        ((WHISPER, "model.task=translate"), "transcribe, and cannot translate"),
        ((WHISPER, "model.config.encoder_attention_heads=3"), "do not divide into 3 heads"),
        ((WHISPER, f"{OPTIONS}.max_seconds=10"), "takes windows of one length"),
        ((WHISPER, f"{OPTIONS}.alignment_heads=[[9, 0]]"), "the decoder has 2 layers"),
        ((WHISPER, f"{OPTIONS}.languages={{en: 999}}"), "the vocabulary has 320 ids"),
        ((WHISPER, f"{OPTIONS}.eos_ids=[]"), "which tokens begin and end an answer"),
        ((WHISPER, "runtime.context_length=4"), "leave no room for it in 4"),
        ((MOONSHINE, f"{OPTIONS}.max_seconds=0.05"), "at least 0.112"),
        ((MOONSHINE, f"{OPTIONS}.tokens_per_second=0"), "a positive number, or null"),
        ((MOONSHINE, "model.config.eos_token_id=[a]"), "is no token id"),
        (
            (SEE, f"{OPTIONS}.processor.do_splitting=true"),
            "setting that is not known: do_splitting",
        ),
    ],
)
def test_it_is_refused(overrides: tuple[str, ...], words: str) -> None:
    assert words in "\n".join(problems(*overrides))


@pytest.mark.parametrize("option", [EMBED, SEE, TRANSLATE, WHISPER, MOONSHINE])
def test_shipped_options_are_sound(option: str) -> None:
    assert problems(option, "backend=xnnpack", "quant=8da8w") == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.config.image_token_id=319", "from 256 to 317"),
        (f"{OPTIONS}.processor={{image_processor_type: Foo}}", "no image processor Foo"),
    ],
)
def test_what_a_checkpoint_says_of_images_is_read_before_a_run(override: str, words: str) -> None:
    recipe = api.compose_recipe(None, [SEE, override]).recipe
    found, _ = tokenizer_facts(recipe, 320)
    assert words in "\n".join(map(str, found))


@pytest.mark.parametrize("target", ["runtime_py", "et_cpp_multimodal"])
def test_consumers_of_programs_that_see_are_targets(target: str) -> None:
    assert problems(SEE, "backend=xnnpack", f"deploy.targets=[{target}]") == []
