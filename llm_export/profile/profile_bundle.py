"""Profile a step of a bundle on this machine."""

from __future__ import annotations

from pathlib import Path

from llm_export.errors import BundleError, RecipeError
from llm_export.profile.breakdown import breakdown
from llm_export.profile.measure import measure_steps
from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap
from llm_export.profile.result import Profile
from llm_export.profile.traced_program import TracedProgram
from llm_export.versions import package_versions
from runtime_py.bandwidth import read_bandwidth
from runtime_py.benchmark.rounds import prompt_of
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, task_name
from runtime_py.conditions import OtherLoad, processor
from runtime_py.program import Program, set_threads, thread_count, warm_up_imports
from runtime_py.threads import check_threads

PHASES = ("decode", "prefill")
_PREFILL = 256
"""Tokens of a step of a prompt where a program takes any number: the runtime's chunk."""


def profile_bundle(
    path: str | Path,
    *,
    phase: str = "decode",
    depth: int = 0,
    tokens: int | None = None,
    threads: int | None = None,
    adapter: str | None = None,
) -> Profile:
    """Measure a step with and without ExecuTorch's tracer, and divide its time among modules.

    The program is loaded twice, once with the tracer.

    Args:
        phase: decode (one token) or prefill (several).
        depth: tokens in the caches before the step.
        tokens: of a prefill step; None takes the program's longest step, 256 tokens at most where
            its length is dynamic.
        threads, adapter: see ``LLM.load``.

    Raises:
        RecipeError: an argument is wrong, or the step does not fit the program.
        BundleError: the bundle has no map from instructions to modules, or that of another program.
        BundleRuntimeError: not a bundle, damaged, or it cannot run here.
        MissingDependencyError: this build of ExecuTorch has no tracer.
    """
    check_threads(threads)
    bundle = Bundle.open(path)
    if (task := task_name(bundle)) != GENERATE:
        raise BundleError(
            f"profiles are of programs that generate text, and this bundle is for {task}",
            where=str(bundle.path), fix="llm-export report BUNDLE has its speed",
        )  # fmt: skip
    facts = bundle.manifest["program"]
    tokens = _tokens(facts, phase, depth, tokens)
    mapped = ProfileMap.read(bundle.path / PROFILE_MAP)
    file, weights = bundle.file("program"), bundle.adapter_file(adapter)
    assert file is not None
    bundle.check_hashes([file, weights, bundle.file("profile_map")])
    warm_up_imports()
    if threads is not None:
        set_threads(threads)
    plain = Program.of_manifest(file, facts, weights)
    traced = TracedProgram.of_manifest(file, facts, weights)
    assert isinstance(traced, TracedProgram)
    method = traced.method_of(tokens)
    if method is None:
        raise RecipeError(
            f"the program takes {tokens} tokens only one after another", where="--tokens",
            fix=f"one of {', '.join(map(str, sorted(plain.steps.values())))}",
        )  # fmt: skip
    used = threads or thread_count()
    bandwidth = read_bandwidth(used)
    ids = prompt_of(tokens, facts["vocab_size"])
    with OtherLoad() as load:
        steps = measure_steps(plain, traced, ids, depth)
    bandwidth = max(bandwidth, read_bandwidth(used))
    parts = breakdown(steps, mapped.methods.get(method, {}))
    machine = processor()
    return Profile(
        bundle=bundle.manifest["name"],
        phase=phase, depth=depth, tokens=tokens, method=method, threads=used, machine=machine,
        conditions=load.conditions(machine, used),
        executorch=package_versions()["executorch"],
        step_seconds=steps.seconds, traced_seconds=parts.seconds, steps=len(steps.plain),
        bandwidth=bandwidth, parts=parts.parts, whole=parts.whole,
        unnamed_seconds=parts.unnamed, weights=mapped.weights,
    )  # fmt: skip


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
