"""Profile a step of a bundle on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_export.errors import RecipeError
from llm_export.profile.breakdown import breakdown
from llm_export.profile.measure import Steps, measure_steps
from llm_export.profile.methods import Step, measure_method
from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap
from llm_export.profile.result import PHASES, Profile
from llm_export.profile.traced_program import TracedProgram
from llm_export.versions import package_versions
from runtime_py.bandwidth import read_bandwidth
from runtime_py.benchmark.depth import prompt_of
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, task_name
from runtime_py.conditions import OtherLoad, processor
from runtime_py.program import Program, set_threads, thread_count, warm_up_imports
from runtime_py.threads import check_threads

_PREFILL = 256
"""Tokens of a step of a prompt where a program takes any number: the runtime's chunk."""


def profile_bundle(
    path: str | Path,
    *,
    phase: str | None = None,
    depth: int = 0,
    tokens: int | None = None,
    threads: int | None = None,
    adapter: str | None = None,
) -> Profile:
    """Measure a step with and without ExecuTorch's tracer, and divide its time among modules.

    The program is loaded twice, once with the tracer.

    Args:
        phase: decode (one token) or prefill (several); None is decode. Of a task whose program has
            several methods, also one of these; None is the one with caches, or the first.
        depth: tokens in the caches before the step.
        tokens: of a prefill step; None takes the program's longest step, 256 tokens at most where
            its length is dynamic. Of another method, the length of its input.
        threads, adapter: see ``LLM.load``.

    Raises:
        RecipeError: an argument is wrong, or the step does not fit the program.
        BundleError: the bundle has no map from instructions to modules, or that of another program.
        BundleRuntimeError: not a bundle, damaged, or it cannot run here.
        MissingDependencyError: this build of ExecuTorch has no tracer.
    """
    check_threads(threads)
    bundle = Bundle.open(path)
    if task_name(bundle) != GENERATE:
        if adapter is not None:
            raise RecipeError(
                "bundles of this task have no adapters", where="--adapter", fix="leave it out"
            )
        mapped = _mapped(bundle, None)
        return _profile(
            bundle, mapped, threads,
            lambda file: measure_method(file, phase, depth, tokens, threads),
        )  # fmt: skip
    phase = phase or "decode"
    facts = bundle.manifest["program"]
    tokens = _tokens(facts, phase, depth, tokens)
    weights = bundle.adapter_file(adapter)
    mapped = _mapped(bundle, weights)

    def measured(file: Path) -> tuple[Steps, Step]:
        return _measured(file, facts, weights, Step(phase, "", depth, tokens))

    return _profile(bundle, mapped, threads, measured)


def _mapped(bundle: Bundle, weights: Path | None) -> ProfileMap:
    """Which instructions compute which modules, after a check of the files."""
    mapped = ProfileMap.read(bundle.path / PROFILE_MAP)
    bundle.check_hashes([bundle.file("program"), weights, bundle.file("profile_map")])
    return mapped


def _profile(
    bundle: Bundle,
    mapped: ProfileMap,
    threads: int | None,
    measure: Callable[[Path], tuple[Steps, Step]],
) -> Profile:
    file = bundle.file("program")
    assert file is not None
    warm_up_imports()
    if threads is not None:
        set_threads(threads)
    used = threads or thread_count()
    bandwidth = read_bandwidth(used)
    with OtherLoad() as load:
        steps, step = measure(file)
    bandwidth = max(bandwidth, read_bandwidth(used))
    parts = breakdown(steps, mapped.methods.get(step.method, {}))
    machine = processor()
    return Profile(
        bundle=bundle.manifest["name"],
        phase=step.phase, depth=step.depth, tokens=step.tokens, method=step.method, threads=used,
        machine=machine, conditions=load.conditions(machine, used),
        executorch=package_versions()["executorch"],
        step_seconds=steps.seconds, traced_seconds=parts.seconds, steps=len(steps.plain),
        bandwidth=bandwidth, parts=parts.parts, whole=parts.whole,
        unnamed_seconds=parts.unnamed, weights=mapped.weights,
    )  # fmt: skip


def _measured(
    file: Path, facts: dict[str, Any], weights: Path | None, step: Step
) -> tuple[Steps, Step]:
    """A step of a program that generates text."""
    plain = Program.of_manifest(file, facts, weights)
    traced = TracedProgram.of_manifest(file, facts, weights)
    assert isinstance(traced, TracedProgram)
    method = traced.method_of(step.tokens)
    if method is None:
        raise RecipeError(
            f"the program takes {step.tokens} tokens only one after another", where="--tokens",
            fix=f"one of {', '.join(map(str, sorted(plain.steps.values())))}",
        )  # fmt: skip
    ids = prompt_of(step.tokens, facts["vocab_size"])
    return measure_steps(plain, traced, ids, step.depth), replace(step, method=method)


def _tokens(facts: dict[str, object], phase: str, depth: int, tokens: int | None) -> int:
    """Tokens of the step. Raises RecipeError if they do not fit the program."""
    context, longest = facts["context_length"], facts["prefill_length"]
    assert isinstance(context, int)
    assert isinstance(longest, int)
    if phase not in PHASES:
        raise RecipeError(
            f"there is no phase {phase!r}", where="--phase", fix=f"one of {', '.join(PHASES)}"
        )
    if phase == "decode":
        if tokens not in (None, 1):
            raise RecipeError(
                f"decode takes one token a step, not {tokens}", where="--tokens",
                fix="--phase prefill",
            )  # fmt: skip
        tokens = 1
    elif tokens is None:
        tokens = min(longest, _PREFILL, context - depth) if facts["dynamic_shapes"] else longest
    if type(depth) is not int or not 0 <= depth < 2**31:
        raise RecipeError(
            f"the depth must be a number of tokens, not {depth!r}", where="--depth", fix="e.g. 1500"
        )
    if type(tokens) is not int or not 0 < tokens <= longest:
        raise RecipeError(
            f"a step of this program takes 1 to {longest} tokens, not {tokens}", where="--tokens",
            fix=f"--tokens {longest}" if depth + longest <= context else "a smaller depth",
        )  # fmt: skip
    if depth + tokens > context:
        raise RecipeError(
            f"{depth} + {tokens} tokens do not fit the context of {context}", where="--depth",
            fix=f"--depth {max(0, context - tokens)} at most",
        )  # fmt: skip
    return tokens
