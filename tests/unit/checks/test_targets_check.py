"""deploy.targets: what a recipe already tells of the contracts of the consumers that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from llm_export.checks.targets import targets_can_load
from llm_export.config.composed import Composed
from llm_export.consumers.linked import is_fused
from llm_export.models.components.attention_cores import KINDS
from llm_export.resolve.recipe import ResolvedRecipe, resolve

Compose = Callable[..., Composed]
CASES = [
    ("android,react_native@0.10", [], [], ""),
    ("androit", [], ["there is no consumer 'androit'"], "deploy.targets=[android]"),
    ("react_native@9", [], ["no contract of version 9"], "deploy.targets=[react_native]"),
    ("ios", ["backend=vulkan"], ["ios@1.5 has no VulkanBackend"], "backend=xnnpack"),
    (
        "module,android", ["runtime.attention=custom_op"],
        ["module@1.5 has no operators of 'custom_op' attention"],
        "runtime.attention=plain, or deploy.targets=[android]",
    ),
    ("ios", ["backend=coreml"], ["ios@1.5 passes no caches to the program"], "backend=xnnpack"),
    (
        "android", ["runtime.attention=static_io"], ["android@1.5 passes no caches"],
        "runtime.attention=auto",
    ),
    (
        "android", ["backend=qnn", "runtime.attention=plain"],
        ["android@1.5 passes tokens of int64, programs of qnn take int32"], "backend=xnnpack",
    ),
    (
        "react_native@0.11", ["runtime.dynamic_shapes=false"],
        ["takes programs whose steps have any length"], "runtime.dynamic_shapes=null",
    ),
    (
        "react_native@0.11", ["runtime=static"],
        ["takes programs whose steps have any length"],
        "runtime.dynamic_shapes=null runtime.prefill_length=null",
    ),
    (
        "android,ios,runtime_py", ["runtime.attention=static_io"],
        ["android@1.5 passes no caches", "ios@1.5 passes no caches"],
        "deploy.targets=[runtime_py]",
    ),
    (
        "react_native@0.11,ios", ["runtime.logits=all"],
        ["react_native@0.11 takes the logits of the last token only"], "runtime.logits=last",
    ),
    (
        "ios", ["checkpoint.adapter_mode=separate"], ["ios@1.5 loads no adapters"],
        "checkpoint.adapter_mode=merged",
    ),
    (
        "et_cpp_multimodal", [], ["takes programs with the methods token_embedding, text_decoder"],
        "deploy.targets=[]",
    ),
]  # fmt: skip


def for_targets(targets: str, composed: Composed) -> ResolvedRecipe:
    recipe = composed.recipe
    names = [name for name in targets.split(",") if name]
    return resolve(replace(recipe, deploy=replace(recipe.deploy, targets=names)))


@pytest.mark.parametrize(("targets", "words", "said", "fix"), CASES)
def test_what_is_refused_and_that_its_fix_holds(
    composed: Compose, targets: str, words: Sequence[str], said: Sequence[str], fix: str
) -> None:
    made = composed("model=tiny", *words)
    problems = targets_can_load(for_targets(targets, made))
    assert len(problems) == len(said), problems
    for problem, part in zip(problems, said, strict=True):
        assert part in problem.what
        assert fix in problem.fix
        alternatives = problem.fix.split("; ")[0].split(", or ")
        first, last = alternatives[0], alternatives[-1]
        left = last.removeprefix("deploy.targets=[").removesuffix("]")
        assert not targets_can_load(for_targets(left, made))
        if first != last:
            mended = composed("model=tiny", *words, *first.split())
            assert not targets_can_load(for_targets(targets, mended))


@pytest.mark.parametrize(
    ("targets", "words", "attention", "noted"),
    [
        ("module", [], "plain", True),
        ("module", ["quant.kv_cache=int8"], "plain_int8", True),
        ("android", [], "custom_op", False),
        ("module", ["backend=coreml"], "static_io", False),
        ("module", ["runtime.attention=static_io"], "static_io", False),
        ("module", ["runtime.kv_cache=attention_sink"], "attention_sink", False),
    ],
)
def test_attention_that_is_left_open_follows_the_targets(
    composed: Compose, targets: str, words: Sequence[str], attention: str, noted: bool
) -> None:
    made = composed("model=tiny", *words)
    resolved = for_targets(targets, made)
    assert resolved.attention == attention
    assert any("no fused attention" in note for note in resolved.notes) is noted
    assert resolved.stated.runtime == made.recipe.runtime


def test_fused_kinds_are_those_with_executorchs_operators() -> None:
    assert {kind for kind in KINDS if is_fused(kind)} == {
        kind for kind, facts in KINDS.items() if facts.operators
    }
