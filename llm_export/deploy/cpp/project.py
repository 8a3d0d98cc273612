"""The files of the C++ project."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_export.deploy.base import Project, Settings
from llm_export.deploy.cpp.expected import answer_lines, text_lines
from llm_export.deploy.cpp.facts import SAMPLING, model_facts
from llm_export.deploy.cpp.libraries import libraries_of
from llm_export.deploy.cpp.literals import FILTERS
from llm_export.deploy.cpp.presets import AARCH64, commands, presets, presets_file
from llm_export.deploy.cpp.settings import CppOptions, cpp_options
from llm_export.deploy.cpp.tokenizer_table import tokenizer_table
from llm_export.deploy.markdown import cell
from llm_export.deploy.sampling import not_taken
from llm_export.deploy.templates import rendered
from llm_export.errors import RecipeError
from llm_export.targets.runner_build import runner_sources
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError
from runtime_py.llm import tokenizer_of

_SHARED = ("logits.h", "threads.h")
"""Headers of the runner of ``llm-export bench`` too."""
_BUILT = frozenset(("check", "Makefile", "CMakeFiles", "Testing"))
"""What else lies where the program is built."""


def cpp_project(bundles: Sequence[Bundle], settings: Settings) -> Project:
    options = cpp_options(settings.options)
    bundle = of_adapter(bundles[0], options)
    data = bundle.adapter_file(options.adapter)
    program, tokenizer = bundle.file("program"), bundle.file("tokenizer")
    assert program is not None
    assert tokenizer is not None
    answers, notes = _answers(bundles[0], options)
    notes += _notes(bundle)
    configure = presets(options.sources)
    chosen = _chosen(configure, options)
    name = f"{settings.name}_chat" if settings.name in _BUILT else settings.name
    start = _start(name, chosen)
    steps = (" && ".join(commands(chosen)), start)
    variables = {
        **model_facts(bundle.manifest, data.name if data else ""),
        "name": name,
        "executorch_version": bundle.manifest["requires"]["executorch"],
        "libraries": libraries_of(bundle.manifest["requires"]),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "linux": sys.platform == "linux",
        "presets": configure,
        "preset": chosen,
        "steps": steps,
        "program": start.split(' "')[0],
        "notes": notes,
        "answers": bool(answers),
    }
    never = tokenizer_of(bundle).without_text(bundle.manifest["program"]["vocab_size"])
    nfc = bundle.manifest["tokenizer"].get("normalization") == "NFC"
    files = {
        **rendered("llm_export.deploy.cpp", variables, filters={**FILTERS, "cell": cell}),
        **{f"src/{name}": content for name, content in _shared().items()},
        "CMakePresets.json": presets_file(configure, chosen),
        "model/tokenizer.table": tokenizer_table(tokenizer, never, nfc=nfc),
        "tests/texts.txt": text_lines(bundle),
        **({"tests/answers.txt": answers} if answers else {}),
    }
    copies = {"model/model.pte": program, "model/tokenizer.json": tokenizer}
    if data is not None:
        copies[f"model/{data.name}"] = data
    return Project(files, copies, steps=steps, notes=tuple(notes))


def of_adapter(bundle: Bundle, options: CppOptions) -> Bundle:
    """The bundle with the tokenizer of the adapter that is deployed.

    Raises:
        RecipeError: there is no such adapter.
    """
    name = options.adapter or bundle.manifest.get("default_adapter")
    try:
        bundle.adapter_file(name)
    except BundleRuntimeError as error:
        raise RecipeError(error.what, where=f"--set adapter={name}", fix=error.fix) from None
    return bundle.with_adapter(name)


def _shared() -> Mapping[str, bytes]:
    found = runner_sources()
    return {name: found[name] for name in _SHARED}


def _chosen(configure: Sequence[Mapping[str, Any]], options: CppOptions) -> str:
    names = [str(preset["name"]) for preset in configure]
    return AARCH64 if options.processor == AARCH64 and AARCH64 in names else names[0]


def _start(name: str, preset: str) -> str:
    program = Path("build", preset, name).as_posix()
    run = "qemu-aarch64 -cpu max,sme=off -L /usr/aarch64-linux-gnu " if preset == AARCH64 else ""
    return f'{run}{program} "Why is the sky blue?"'


def _answers(bundle: Bundle, options: CppOptions) -> tuple[str, list[str]]:
    """(lines of ``tests/answers.txt``, notes); '' if none are wanted, or the program cannot run
    here."""
    if not options.test:
        return "", []
    try:
        return answer_lines(bundle, options.adapter), []
    except BundleRuntimeError as error:
        return "", [f"The project's tests compare no answers: the program does not run here "
                    f"({error.what})."]  # fmt: skip


def _notes(bundle: Bundle) -> list[str]:
    lost = not_taken(bundle.manifest["sampling"], SAMPLING)
    told = [f"The program samples without {', '.join(lost)}."] if lost else []
    return [*told, *_chat_notes(bundle)]


def _chat_notes(bundle: Bundle) -> list[str]:
    chat = bundle.manifest.get("chat", {})
    if bundle.file("chat_template") is None:
        return ["The model has no chat template: the program continues texts."]
    if "turns" not in chat:
        return [
            "The model's chat template does more than put text around messages, so the program "
            "continues texts: render the template in your app, and give its text with --raw."
        ]
    return []
