"""Use a bundle: load, generate, chat, measure, check, and add adapters.

``bundle`` is a folder, or a file of ``pack``; ``adapt`` takes a folder only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.api.forms import compose
from llm_export.errors import BundleError, bundle_errors

if TYPE_CHECKING:
    from llm_export.bundle.proof import Proof
    from llm_export.bundle.verify import Check
    from llm_export.profile.result import Profile
    from llm_export.template_engines.compare import EngineRow
    from runtime_py import LLM, Generation, Sampling


def load(
    bundle: str | Path,
    *,
    threads: int | None = None,
    adapter: str | None = None,
    verify_hashes: bool = True,
    engine: str = "executorch",
    tokenizer: str | Path | None = None,
) -> LLM:
    """Load a bundle into the Python runtime, or a program of another exporter.

    Args:
        bundle: also ORG/NAME on the hub, a folder with a program and its tokenizer, or a .pte file.
        threads: size of the engine's thread pool; None keeps its choice.
        adapter: one of the bundle's adapters, or base; None is the bundle's default.
        verify_hashes: refuse files whose SHA-256 is not the manifest's.
        engine: executorch; runner, ExecuTorch's C++ runner; or eager, the model in PyTorch that
            the bundle was exported from.
        tokenizer: of a program without a manifest, if it is not beside it.

    Raises:
        BundleError: it is damaged, has no such adapter, or cannot run on this machine.
    """
    with runtime_errors():
        from runtime_py import LLM

        register_eager()
        return LLM.load(
            bundle, threads=threads, adapter=adapter, verify_hashes=verify_hashes, engine=engine,
            tokenizer=tokenizer,
        )  # fmt: skip


def register_eager() -> None:
    """Let the runtime load bundles with engine="eager"."""
    from runtime_py.engines import register

    register("eager", "llm_export.api.eager_engine:OPENER")


def generate(
    bundle: str | Path | LLM,
    prompt: str | Sequence[int],
    *,
    threads: int | None = None,
    adapter: str | None = None,
    sampling: Sampling | None = None,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    on_text: Callable[[str], None] | None = None,
    **settings: Any,
) -> Generation:
    """Continue a prompt.

    Args:
        bundle: a bundle's path, which is loaded for this call, or the result of ``load``.
        prompt: a text, or token ids.
        sampling: settings; None is the bundle's.
        stop: stop strings; they are not part of the result.
        on_text: called with each piece of text as it is decoded.
        settings: fields of Sampling that replace those of ``sampling``.

    Raises:
        BundleError: the bundle cannot be run, the prompt does not fit, or an argument is wrong.
    """
    with runtime_errors():
        llm = _loaded(bundle, threads, adapter)
        return llm.generate(
            prompt, sampling=sampling, stop=stop, seed=seed, on_text=on_text, **settings
        )


def chat(
    bundle: str | Path | LLM,
    messages: str | Sequence[Mapping[str, Any]],
    *,
    threads: int | None = None,
    adapter: str | None = None,
    tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    enable_thinking: bool | None = None,
    sampling: Sampling | None = None,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    on_text: Callable[[str], None] | None = None,
    **settings: Any,
) -> Generation:
    """Generate the next answer of a conversation. Further arguments are those of ``generate``.

    Args:
        messages: a list of {"role": system, user or assistant, "content": text}; or one string,
            the user's message.
        tools: functions with type hints and a docstring, or JSON schemas.
        documents: for templates with retrieval.
        enable_thinking: for templates that can switch reasoning on or off.
        settings: fields of Sampling, and other variables that the chat template reads.

    Raises:
        BundleError: the bundle cannot be run, has no chat template, the text does not fit, or an
            argument is wrong.
    """
    with runtime_errors():
        llm = _loaded(bundle, threads, adapter)
        return llm.chat(
            messages, tools=tools, documents=documents, enable_thinking=enable_thinking,
            sampling=sampling, stop=stop, seed=seed, on_text=on_text, **settings,
        )  # fmt: skip


def bench(
    bundle: str | Path,
    *,
    prompt_length: int | Sequence[int] | None = None,
    decode_length: int | Sequence[int] | None = None,
    depth: int | Sequence[int] | None = None,
    threads: int | Sequence[int] | None = None,
    warmup: int | None = None,
    repetitions: int = 5,
    max_seconds: float | None = None,
    sustained: float | None = None,
    adapter: str | None = None,
    progress: Callable[[str], object] = lambda what: None,
) -> dict[str, Any]:
    """Measure load time, time to first token, prefill and decode speed, latency between tokens, and
    memory, for every combination of lengths, depths and threads.

    The result also tells the processor, what other processes did meanwhile, and the memory before
    the bundle was loaded; it follows ``runtime_py/benchmark/benchmark.schema.json``. Memory is that
    of the whole process; for a clean figure, call this in a new process. Of bundles that embed,
    transcribe or translate, or are for a plugin's task, it has the figures of their task instead,
    as ``measures``.

    Args:
        prompt_length, decode_length: tokens, one number or several. None is 512 and 128, or what
            fits the context.
        depth: tokens in the caches before the prompt, one number or several. None is 0.
        threads: one number or several; None is ExecuTorch's choice.
        warmup: rounds that are not counted; None: until two in a row agree within 5%, five at most.
        repetitions: measured rounds of each combination.
        max_seconds: start no further repetition after this time, which all combinations share.
        sustained: then decode for so many seconds, and record how the speed changes.
        progress: called with what is measured next.

    Raises:
        BundleError: the bundle cannot be run, or the lengths do not fit its context.
    """
    with runtime_errors():
        from llm_export.api.task_speed import bench_other_task
        from runtime_py.benchmark import measure

        asked = {
            "prompt_length": prompt_length, "decode_length": decode_length, "depth": depth,
            "sustained": sustained, "adapter": adapter,
        }  # fmt: skip
        repeat = {
            "threads": threads, "warmup": warmup, "repetitions": repetitions,
            "max_seconds": max_seconds,
        }  # fmt: skip
        found = bench_other_task(bundle, asked, repeat, progress)
        if found is not None:
            return found
        return measure(
            bundle,
            prompt_length=prompt_length,
            decode_length=decode_length,
            depth=depth,
            threads=threads,
            warmup=warmup,
            repetitions=repetitions,
            max_seconds=max_seconds,
            sustained=sustained,
            adapter=adapter,
            progress=progress,
        )


def profile(
    bundle: str | Path,
    *,
    phase: str | None = None,
    depth: int = 0,
    tokens: int | None = None,
    threads: int | None = None,
    adapter: str | None = None,
) -> Profile:
    """Measure a step with and without ExecuTorch's tracer, in turns, and divide its time among the
    modules of the model. The program is loaded twice.

    Args:
        phase: decode (a step of one token) or prefill (of several); of bundles that embed, see,
            transcribe or translate also a method of their program.
        depth: tokens in the caches before the step.
        tokens: of a prefill step; None takes the program's longest step, 256 tokens at most where
            its length is dynamic.

    Raises:
        RecipeError: an argument is wrong, or the step does not fit the program.
        BundleError: the bundle cannot be run, or has no map from instructions to modules.
        MissingDependencyError: this build of ExecuTorch has no tracer.
    """
    with runtime_errors():
        from llm_export.profile.profile_bundle import profile_bundle

        return profile_bundle(
            bundle, phase=phase, depth=depth, tokens=tokens, threads=threads, adapter=adapter
        )


def weight_sizes(bundle: str | Path) -> dict[str, int]:
    """Module of the model -> bytes of its weights in the bundle's program. Runs nothing.

    Raises:
        BundleError: not a bundle, or it has no map from instructions to modules.
    """
    with runtime_errors():
        from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap
        from runtime_py.bundle import Bundle

        return dict(ProfileMap.read(Bundle.open(bundle).path / PROFILE_MAP).weights)


def verify(bundle: str | Path, *, executorch: str | None = None) -> list[Check]:
    """Check a bundle's files and hashes, manifest and lock, and whether the installed runtime meets
    its requirements; if all that holds, load it and generate one token, in another process.

    Args:
        executorch: a version, or the beginning of one (1.4): compare with that release instead of
            the installed runtime, and load nothing.

    Raises:
        BundleError: there is no manifest.
        InputError: nothing is known of that release.
        MissingDependencyError: ExecuTorch is not installed.
    """
    from llm_export.bundle.opened import opened
    from llm_export.bundle.releases import release_of
    from llm_export.bundle.verify import check_bundle

    release = None if executorch is None else release_of(executorch)
    return check_bundle(opened(bundle), release=release)


def compare_templates(bundle: str | Path) -> list[EngineRow]:
    """Render conversations with a bundle's chat template in each engine of ``template_engines``:
    with chat_template.jinja (the first result of a row), and with the template for apps.

    Raises:
        BundleError: the bundle has no chat template.
    """
    from llm_export.bundle.app_template import compare_in_engines
    from llm_export.bundle.opened import opened

    return compare_in_engines(opened(bundle))


def proof(bundle: str | Path) -> Proof:
    """The verdict on a bundle's program, from its manifest; the comparisons behind it are in
    parity.json. It holds for a bundle that ``verify`` finds whole.

    Raises:
        BundleError: there is no manifest, or it is not valid.
    """
    from llm_export.bundle.opened import opened
    from llm_export.bundle.verify import proof_of

    return proof_of(opened(bundle))


def adapt(bundle: str | Path, adapter: str | Path, name: str | None = None) -> str:
    """Add a LoRA adapter to a bundle exported with adapter_mode=separate.

    Args:
        adapter: folder of the adapter, in PEFT or torchtune format.
        name: name of the adapter in the bundle; None derives it from the folder's name.

    Returns:
        The adapter's name in the bundle.

    Raises:
        LlmExportError: there is no such bundle, the adapter does not fit the program, or the name
            is taken.
    """
    from llm_export.bundle.add_adapter import adapt
    from llm_export.bundle.opened import to_change
    from llm_export.resolve.recipe import resolve

    folder = to_change(bundle)
    with runtime_errors():
        from runtime_py.bundle import Bundle

        Bundle.open(folder)
    recipe = compose(str(folder / "recipe.yaml")).recipe
    return adapt(folder, resolve(recipe), Path(adapter), name)


@contextlib.contextmanager
def runtime_errors() -> Iterator[None]:
    """Context manager: convert errors of the runtime to errors of llm_export."""
    try:
        with bundle_errors():
            yield
    except ValueError as error:
        raise BundleError(str(error)) from None


def _loaded(bundle: str | Path | LLM, threads: int | None, adapter: str | None) -> LLM:
    from runtime_py import LLM

    if isinstance(bundle, LLM):
        return bundle
    return LLM.load(bundle, threads=threads, adapter=adapter)
