"""Benchmark a bundle here or on a device: load, time to first token, prefill, decode, memory.

llm-export bench outputs/smollm2_135m_xnnpack_8da8w
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --target ssh:pi@raspberrypi
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --target adb --runner llama_main
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --prompt-length 128,512 --depth 0,1000
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --threads 1,2 --format csv
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --sustained 60
llm-export bench outputs/minilm_l6_xnnpack_8da8w               texts a second: its task's figures
llm-export bench FIRST_BUNDLE SECOND_BUNDLE model.gguf@ENVIRONMENT/bin/python
llm-export bench A B --resume turns.jsonl     interrupt it, and repeat it to go on

Lengths, depths and threads may be lists: every combination is measured. Several artifacts are
measured in turns and compared with the first: bundles, .gguf files (llama.cpp), folders of ONNX
Runtime GenAI, OpenVINO GenAI and CTranslate2, and .pte files of other exporters. The whole form of
an artifact is [[LABEL:]RUNTIME=]PATH[@PYTHON], with the interpreter of the environment that has the
runtime's package.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.cli.runtime_args import add_adapter
from llm_export.cli.target_args import add_target, bench_on_target, device_rows
from llm_export.errors import RecipeError
from runtime_py.benchmark import arguments
from runtime_py.packed import is_packed

_OF_ONE = ("adapter", "sustained", "target")
"""Options that say what to do with a single bundle."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifacts", metavar="BUNDLE", nargs="+",
                        help="a bundle, or an artifact of another runtime")  # fmt: skip
    arguments.add_arguments(parser, "5; 2 a turn of several artifacts")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="turns of each of several artifacts; default 5")  # fmt: skip
    parser.add_argument("--resume", type=Path, metavar="FILE",
                        help="add each finished turn of several artifacts to FILE, and go on from "
                             "those in it")  # fmt: skip
    add_adapter(parser)
    add_target(parser)


def run(options: argparse.Namespace) -> None:
    settings = arguments.settings_of(options)
    one = len(options.artifacts) == 1 and _is_bundle(options.artifacts[0])
    try:
        found = _of_one(options, settings) if one else _of_several(options, settings)
    finally:
        arguments.end_progress()
    for note in found.get("notes", ()):
        print(note, file=sys.stderr)
    if one and "measures" in found:
        from llm_export.tasks.bench import text
    elif one:
        from runtime_py.benchmark import text
    else:
        from llm_export.runtimes.words import skipped, text

        print(*skipped(found), sep="\n", end="\n" * bool(skipped(found)), file=sys.stderr)
    print(text(found, options.format))
    if options.format == "table":
        for name, value in device_rows(found):
            print(f"{name:<20} {value}")


def _is_bundle(text: str) -> bool:
    """Whether this is for the runtime of this process; a path that is missing, too, which
    ``bench`` tells."""
    path = Path(text)
    known = (path / "manifest.json").is_file() or is_packed(path)
    return known or not (path.exists() or "=" in text or "@" in text)


def _of_one(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    for name, fix in (("rounds", "--repetitions, or name another"), ("resume", "--json > FILE")):
        if getattr(options, name) is not None:
            raise RecipeError(f"--{name} is of several artifacts", where="bench", fix=fix)
    (bundle,), settings = options.artifacts, {**settings, "adapter": options.adapter}
    return bench_on_target(options, bundle, settings) or api.bench(
        bundle, progress=arguments.show_progress, **settings
    )


def _of_several(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    for name in _OF_ONE:
        if getattr(options, name):
            raise RecipeError(
                f"--{name} is for a single bundle", where="bench", fix="measure it by itself"
            )
    settings.pop("sustained", None)
    if options.rounds is not None:
        settings["rounds"] = options.rounds
    return api.compare_speed(
        options.artifacts, keep=options.resume, progress=arguments.show_turn,
        finished=arguments.show_finished, **settings,
    )  # fmt: skip
