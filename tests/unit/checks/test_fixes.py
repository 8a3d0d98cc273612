"""Each fix of each check leads to a sound recipe, and to no further mistake on the way."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hf_models import build, llama, save

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.errors import Problem

_WORD = re.compile(r"[a-z_]+(?:\.[\w]+)*=(?:'[^']*'|\[[^\]]*\]|[^\s,;]+)")
TINY = ("model=tiny",)
XNNPACK = (*TINY, "backend=xnnpack")

STARTS = [
    # Lengths.
    (*TINY, "runtime.context_length=9000"),
    (*TINY, "runtime.context_length=9000", "runtime.prefill_length=8500"),
    (*TINY, "runtime.context_length=64", "runtime.prefill_length=100"),
    (*TINY, "runtime.context_length=64", "verify.window=100"),
    (*TINY, "runtime.context_length=64", "verify.window=100", "verify.prefill=80"),
    (*TINY, "verify.window=64", "verify.prefill=64"),
    (*TINY, "runtime.context_length=64", "verify.prefill=70"),
    (*TINY, "runtime.context_length=64", "benchmark.prompt_length=60",
     "benchmark.decode_length=5"),
    (*TINY, "runtime.context_length=64", "benchmark.decode_length=64"),
    (*TINY, "benchmark.prompt_length=9000"),
    (*TINY, "runtime.prefill_length=9000", "verify.window=10000"),
    (*XNNPACK, "quant=8da8w", "train=qat", "runtime.context_length=64", "train.window=65"),
    (*TINY, "runtime.context_length=128", "runtime.kv_cache=attention_sink",
     "runtime.prefill_length=128"),
    (*TINY, "runtime.context_length=4", "runtime.kv_cache=attention_sink"),
    # Shapes, caches and attention.
    (*TINY, "runtime=npu", "runtime.dynamic_shapes=true"),
    (*TINY, "runtime=static", "runtime.kv_cache=ring", "runtime.prefill_length=8"),
    (*TINY, "runtime=static", "runtime.kv_cache=attention_sink", "runtime.prefill_length=8"),
    (*TINY, "runtime.kv_cache=ring"),
    (*TINY, "runtime.kv_cache=attention_sink", "runtime.attention=custom_op"),
    (*TINY, "backend=cortex_m", "quant=8a8w", "runtime=static"),
    (*TINY, "backend=coreml", "runtime.dynamic_shapes=true"),
    (*TINY, "backend=coreml", "runtime.attention=custom_op"),
    ("model=gemma2_2b", "checkpoint.random_seed=0", "runtime.attention=custom_op"),
    (*TINY, "quant.kv_cache=int8", "runtime=npu"),
    (*TINY, "backend=coreml", "quant.kv_cache=int8"),
    (*XNNPACK, "quant.kv_cache=bfloat16", "runtime=static"),
    (*TINY, "backend=coreml", "quant.kv_cache=bfloat16"),
    (*XNNPACK, "quant.kv_cache=int8", "runtime.kv_cache=attention_sink"),
    ("model=deepseek_v2_lite", "checkpoint.random_seed=0", "quant.kv_cache=int8"),
    ("model=gemma2_2b", "checkpoint.random_seed=0", "quant.kv_cache=int8",
     "runtime.attention=custom_op", "backend=xnnpack"),
    # Schemes and rules.
    (*TINY, "quant=8da8w"),
    (*TINY, "quant=8w"),
    (*TINY, "quant=8w", "quant.group_size=64"),
    (*XNNPACK, "quant=4w"),
    (*XNNPACK, "quant=8w"),
    (*XNNPACK, "quant=8da4w", "quant.group_size=48"),
    (*XNNPACK, "quant=8da4w", "quant.group_size=96"),
    (*XNNPACK, "quant=8da4w", "model.config.hidden_size=48"),
    (*XNNPACK, "quant=8da8w", "quant.group_size=32"),
    (*XNNPACK, "quant.group_size=64"),
    (*XNNPACK, "quant=8da4w", "quant.rules=[]"),
    (*XNNPACK, "quant.rules=[{scheme: 8w, kind: linear}]"),
    (*XNNPACK, "quant.rules=[{scheme: 4w, kind: head}]"),
    (*XNNPACK, "quant.rules=[{scheme: 8da8w}]"),
    (*XNNPACK, "quant.rules=[{scheme: 5w, kind: embedding}]"),
    (*XNNPACK, "quant.rules=[{scheme: 8da4w, kind: linear, zero_point: true}]"),
    (*XNNPACK, "quant.rules=[{scheme: 8w, kind: embedding, outliers: 4}]"),
    (*XNNPACK, "quant.rules=[{scheme: 8da8w, kind: linear, layers: '1-2'}]"),
    (*XNNPACK, "quant.rules=[{scheme: 8da8w, kind: linear, layers: '5'}]"),
    (*TINY, "backend=vulkan", "quant=8da4w_asym"),
    (*TINY, "backend=coreml", "quant=8da4w_asym_small"),
    (*TINY, "backend=mlx", "quant=8da8w"),
    (*TINY, "backend=ethos_u", "quant=4w"),
    (*TINY, "backend=cortex_m"),
    (*TINY, "backend=ethos_u",
     "quant.rules=[{scheme: 8a8w, kind: linear}, {scheme: 16a8w, kind: head}]"),
    (*TINY, "backend=nxp", "quant=8da4w"),
    (*TINY, "backend=qnn",
     "quant.rules=[{scheme: 8a8w, kind: linear}, {scheme: 16a8w, kind: head}]"),
    (*TINY, "backend=coreml", "quant=4w", "backend.options.ios=16"),
    (*TINY, "backend=cuda", "quant=8da8w"),
    (*TINY, "backend=cuda", "runtime=static", "runtime.prefill_length=8"),
    (*TINY, "backend=xnnpack+xnnpack"),
    (*TINY, "backend=xnnpack+coreml"),
    # Float transforms, mixed precision, rounding.
    (*XNNPACK, "quant=8da8w", "quant.smooth.alpha=0.5", "quant.awq={}"),
    (*XNNPACK, "quant=8da8w", "quant.rotate={}", "quant.tied=share"),
    ("model=olmo2_1b", "checkpoint.random_seed=0", "backend=xnnpack", "quant=8da8w",
     "quant.rotate={}"),
    (*XNNPACK, "quant=auto"),
    (*XNNPACK, "quant=auto", "quant.bits_per_weight=5", "quant.file_megabytes=1"),
    (*XNNPACK, "quant=8da8w", "quant.bits_per_weight=5"),
    (*TINY, "backend=cuda", "quant=auto", "quant.bits_per_weight=5"),
    (*XNNPACK, "quant=auto", "quant.bits_per_weight=5",
     "quant.auto.candidates=[{scheme: 8da3w}]"),
    (*XNNPACK, "quant=8da8w", "quant.rounding.method=gtpq"),
    (*XNNPACK, "verify.text=/nowhere.txt", "quant.calibration.text=/nowhere.txt"),
    # Training.
    (*XNNPACK, "train=qat"),
    (*TINY, "train=qat"),
    (*XNNPACK, "quant=8da4w_asym", "train=qat"),
    (*XNNPACK, "quant=8da8w", "quant.outliers=4", "train=qat"),
    (*XNNPACK, "quant=auto", "quant.bits_per_weight=5", "train=qat"),
    (*TINY, "backend=nxp", "quant=8a8w", "train=qat", "train.kinds=[linear,embedding]"),
    (*XNNPACK, "quant.qat.enabled=true"),
    (*XNNPACK, "quant=8da4w", "quant.qat.is_symmetric=false"),
    (*XNNPACK, "quant=8da4w_asym", "quant.qat.enabled=true"),
    (*XNNPACK, "quant=8da8w", "quant.outliers=4", "quant.qat.enabled=true"),
    (*XNNPACK, "quant=8da4w", "quant.qat.enabled=true", "quant.qat.is_symmetric=false",
     "quant.qat.zero_point_domain=float"),
    # A separate adapter.
    (*XNNPACK, "checkpoint.adapter_mode=separate"),
    (*XNNPACK, "quant=8da8w", "checkpoint.adapter=LORA", "checkpoint.adapter_mode=separate",
     "quant.smooth.alpha=0.5", "quant.outliers=4"),
    (*XNNPACK, "quant=8da4w_asym", "checkpoint.adapter=LORA",
     "checkpoint.adapter_mode=separate"),
    (*XNNPACK, "quant=bf16", "checkpoint.adapter=LORA", "checkpoint.adapter_mode=separate"),
    (*XNNPACK, "quant=8da8w", "checkpoint.adapter=LORA", "checkpoint.adapter_mode=separate",
     "train=qat"),
    (*XNNPACK, "checkpoint.adapter=/nowhere", "checkpoint.adapter_mode=separate"),
    # Models of other definitions, and short ones.
    ("NEOX", "backend=xnnpack", "quant=8da8w", "quant.smooth.alpha=0.5"),
    ("NEOX", "backend=xnnpack", "quant=8da8w", "quant.awq={}", "quant.rotate={}"),
    ("NEOX", "backend=xnnpack", "quant=bf16"),
    ("NEOX", "backend=coreml", "quant=fp16"),
    ("NEOX", "backend=xnnpack", "quant=8da8w", "runtime=npu"),
    ("NEOX", "backend=xnnpack", "quant.kv_cache=int8"),
    ("NEOX", "backend=xnnpack", "runtime.kv_cache=ring"),
    ("NEOX", "backend=xnnpack", "runtime.context_length=4096", "verify.window=4096"),
    ("NEOX", "backend=cortex_m", "quant=8a8w"),
    ("GPT2", "backend=xnnpack", "quant=8da4w_asym", "runtime.context_length=4096"),
    ("LLAMA", "backend=xnnpack", "quant=8da8w", "runtime.context_length=2048",
     "benchmark.prompt_length=2000"),
]  # fmt: skip

SOUND = [
    ("NEOX", "backend=xnnpack", "quant=8da8w"),
    ("GPT2", "backend=xnnpack", "quant=8da8w"),
    ("LLAMA", "backend=xnnpack", "quant=8da8w"),
    ("LLAMA", "backend=xnnpack", "quant=8da4w", "train=qat"),
    (*TINY, "runtime.context_length=128"),
    (*TINY, "runtime.context_length=2"),
    (*TINY, "verify.window=4096"),
    (*TINY, "benchmark.prompt_length=4096"),
    (*TINY, "runtime.prefill_length=4096"),
    (*XNNPACK, "quant=8da8w", "quant.awq={}"),
    (*XNNPACK, "quant=8da8w", "train=qat"),
    (*XNNPACK, "quant=8da8w", "quant.qat.enabled=true"),
    (*XNNPACK, "quant=8da8w", "checkpoint.adapter=LORA", "checkpoint.adapter_mode=separate"),
    (*XNNPACK, "quant=auto", "quant.bits_per_weight=5", "checkpoint.adapter=LORA",
     "checkpoint.adapter_mode=separate"),
]  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """Words that stand for folders -> overrides."""
    root = tmp_path_factory.mktemp("models")
    sizes = {"vocab_size": 320, "eos_token_id": 319, "bos_token_id": 318}
    neox = build(
        "gpt_neox", hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=512, **sizes,
    )  # fmt: skip
    made = {
        "NEOX": neox,
        "GPT2": build("gpt2", n_embd=64, n_layer=2, n_head=4, n_positions=1024, **sizes),
        "LLAMA": llama(max_position_embeddings=128),
    }
    for name, model in made.items():
        save(model, root / name)
    (root / "lora").mkdir()
    found = {name: ("model=auto", f"checkpoint.path={root / name}") for name in made}
    return {**found, "LORA": (str(root / "lora"),)}


def filled_in(words: tuple[str, ...], places: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    first = places.get(words[0], (words[0],))
    return (*first, *(word.replace("LORA", places["LORA"][0]) for word in words[1:]))


@cache
def problems(words: tuple[str, ...]) -> list[Problem]:
    found = find_problems(api.compose_recipe(None, list(words)).recipe)
    return [problem for problem in found if not problem.environment]


def alternatives(fix: str) -> list[tuple[str, ...]]:
    """The overrides of each alternative of a fix that needs nobody to fill in a word."""
    found = []
    for part in fix.split(", or "):
        words = tuple(_WORD.findall(part))
        values = [word.partition("=")[2] for word in words]
        if words and not any(re.search(r"\b[A-Z]{3,}", value) for value in values):
            found.append(words)
    return found


def with_fix(words: tuple[str, ...], fix: tuple[str, ...]) -> tuple[str, ...]:
    """The command line with the overrides appended; a later one replaces an earlier one."""
    keys = {word.partition("=")[0] for word in fix}
    return (*(word for word in words if word.partition("=")[0] not in keys), *fix)


def longest_chain(words: tuple[str, ...], depth: int = 0) -> int:
    """The most fixes that it takes, one at a time, whichever alternatives are taken."""
    found = problems(words)
    if not found:
        return depth
    assert depth <= 4, f"never sound: {words}: {found}"
    before = {(p.key, p.what) for p in found}
    chains = []
    for problem in {p.fix: p for p in found}.values():
        fixes = alternatives(problem.fix)
        assert fixes, f"no fix to follow: {problem}"
        for fix in fixes[:3] if depth else fixes:
            after = with_fix(words, fix)
            left = {(p.key, p.what) for p in problems(after)}
            assert (problem.key, problem.what) not in left, f"{words} {fix}: still {problem}"
            new = {key for key, _ in left} - {key for key, _ in before}
            assert not new, f"{words}: the fix {fix} leads to {left}"
            chains.append(longest_chain(after, depth + 1))
    return max(chains)


def _level(number: int) -> list[pytest.MarkDecorator]:
    if number % 9 == 0:
        return []
    return [pytest.mark.release if number % 3 else pytest.mark.slow]


_EACH = [pytest.param(start, marks=_level(number)) for number, start in enumerate(STARTS)]
"""All take a minute."""


@pytest.mark.parametrize("start", _EACH, ids=" ".join)
def test_every_fix_leads_to_a_sound_recipe(
    start: tuple[str, ...], places: dict[str, tuple[str, ...]]
) -> None:
    words = filled_in(start, places)
    found = problems(words)
    assert found, "a starting point has a problem"
    assert 1 <= longest_chain(words) <= len(found) + 1


@pytest.mark.parametrize("words", SOUND, ids=" ".join)
def test_defaults_do_not_contradict_each_other(
    words: tuple[str, ...], places: dict[str, tuple[str, ...]]
) -> None:
    assert problems(filled_in(words, places)) == []
