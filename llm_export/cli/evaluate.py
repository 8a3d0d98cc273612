"""Evaluate a bundle: perplexity, KL divergence, top-1 agreement, tool calls, lm-eval tasks.

llm-export evaluate outputs/smollm2_135m_xnnpack_8da8w
llm-export evaluate outputs/smollm2_135m_xnnpack_8da8w --tasks text,endings --max-examples 50
llm-export evaluate outputs/smollm2_135m_xnnpack_8da8w --layers program --text my_text.txt
llm-export evaluate WHISPER_BUNDLE --data speech.jsonl

--data scores a bundle that transcribes, translates or embeds by examples, one JSON object a line:
{"audio": "FILE.wav", "text": ...}: word and character error rate; {"text": ..., "reference": ...}:
chrF and BLEU; {"query": ..., "document": ...}: retrieval;
{"text": ..., "other": ..., "score": 0.8}: rank correlation. Paths are relative to the current
folder.

The float model is loaded from the checkpoint that the bundle's recipe names; without it, what
compares with it is left out. The bundle is not changed: `llm-export run ... evaluate=quick` keeps
an evaluation in it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from llm_export import api
from llm_export.cli.runtime_args import printable
from llm_export.cli.waiting import waiting
from llm_export.errors import RecipeError

_OF_TEXT: dict[str, Any] = {
    "tasks": ["text"], "layers": ["float", "program"], "text": None, "positions": 1000,
    "window": None, "task_path": [], "few_shot": None,
}  # fmt: skip
"""Options that --data does not take, with their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--tasks", type=_words, metavar="A,B",
                        help="default text; llm-export ls evaluations, or tasks of "
                        "lm-evaluation-harness")  # fmt: skip
    parser.add_argument("--layers", type=_words, metavar="A,B",
                        help="of float, transformed, program; default float,program")  # fmt: skip
    parser.add_argument("--text", metavar="FILE", help="a text instead of the shipped one")
    parser.add_argument("--data", metavar="FILE.jsonl",
                        help="examples for a bundle that embeds, transcribes or translates"
                        )  # fmt: skip
    parser.add_argument("--positions", type=int, metavar="N", help="default 1000")
    parser.add_argument("--window", type=int, metavar="N", help="default 512, or the context")
    parser.add_argument("--task-path", action="append", metavar="FOLDER",
                        help="tasks in the YAML format of lm-evaluation-harness")  # fmt: skip
    parser.add_argument("--max-examples", type=int, metavar="N", help="most examples of a task")
    parser.add_argument("--few-shot", type=int, metavar="N", help="default: as the task says")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(**_OF_TEXT)


def run(options: argparse.Namespace) -> None:
    if options.data is not None:
        _score(options)
        return
    found = api.evaluate(
        options.bundle,
        tasks=options.tasks,
        layers=options.layers,
        text=options.text,
        positions=options.positions,
        window=options.window,
        task_paths=options.task_path,
        max_examples=options.max_examples,
        few_shot=options.few_shot,
    )
    if options.json:
        from llm_export.json_data import to_json

        print(json.dumps(to_json(found), indent=2))
        return
    from llm_export.report.evaluation import markdown

    print(printable(markdown(found, level=1)))


def _score(options: argparse.Namespace) -> None:
    for name, usual in _OF_TEXT.items():
        if getattr(options, name) != usual:
            raise RecipeError(
                f"--{name.replace('_', '-')} is for bundles that generate text, not for --data",
                where="evaluate", fix="leave one of them out",
            )  # fmt: skip
    with waiting(f"answering {options.data}"):
        found = api.score(options.bundle, options.data, max_examples=options.max_examples)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    from runtime_py.benchmark.words import aligned

    print(f"{found['examples']} examples of {printable(str(found['data']))}", "", sep="\n")
    rows = [(e["title"], f"{e['value']:.4g} {e['unit']}".strip()) for e in found["measures"]]
    print(*aligned(rows, left=(0, 1)), sep="\n")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
