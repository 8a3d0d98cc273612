"""Measure what a constraint costs beside a step of the program, and what feeding text that must
follow at once saves.

    python benchmarks/constrained_decoding.py outputs/smollm2_135m_xnnpack_8da8w
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from runtime_py import LLM
from runtime_py.constraints import JsonSchema
from runtime_py.constraints.compiler import Compiler
from runtime_py.text_cache import TextCache

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "date_of_birth": {"type": "string", "format": "date"},
        "occupation": {"enum": ["teacher", "engineer", "physician"]},
        "married": {"type": "boolean"},
        "number_of_children": {"type": "integer", "minimum": 0, "maximum": 12},
    },
    "required": ["name", "date_of_birth", "occupation", "married", "number_of_children"],
    "additionalProperties": False,
}
QUESTION = "Invent a person: name, date of birth, occupation, married, number of children."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    llm = LLM.load(parser.parse_args().bundle)
    compiler = Compiler(llm.tokenizer, llm.program.vocab_size)
    rules = JsonSchema(SCHEMA, compact=True)
    first, _ = _cpu(lambda: compiler.start(rules))
    other = JsonSchema({**SCHEMA, "title": "another"})
    second, _ = _cpu(lambda: compiler.start(other))
    again, _ = _cpu(lambda: compiler.start(rules))
    print(f"first constraint of a tokenizer {first:.2f} s; another schema {second * 1e3:.1f} ms; "
          f"one that is known {again * 1e6:.0f} us (CPU time)")  # fmt: skip

    for compact in (False, True):
        rules = JsonSchema(SCHEMA, compact=compact)
        together, answer = _seconds(llm, rules)
        costs = _costs(llm, compiler, rules, answer.tokens)
        chunk = TextCache.chunk
        TextCache.chunk = property(lambda self: 1)  # type: ignore[assignment, method-assign]
        single, same = _seconds(llm, rules)
        TextCache.chunk = chunk  # type: ignore[method-assign]
        step = same.stats.decode_seconds / max(1, len(same.tokens) - 1)
        print(f"compact={compact}: {answer.text!r}")
        print(f"  {len(answer.tokens)} tokens; {costs:.0f} us for each beside a step of "
              f"{step * 1e3:.1f} ms: {costs / step / 1e4:.1f}%")  # fmt: skip
        print(f"  decoded in {together:.2f} s, and one token at a time in {single:.2f} s")


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    made = work()
    return time.process_time() - begin, made


def _seconds(llm: LLM, rules: JsonSchema) -> tuple[float, Any]:
    """(median time of decoding, answer)"""
    answers = [llm.chat(QUESTION, constraint=rules, max_new_tokens=120) for _ in range(5)]
    return statistics.median(each.stats.decode_seconds for each in answers), answers[-1]


def _costs(llm: LLM, compiler: Compiler, rules: JsonSchema, tokens: list[int]) -> float:
    """Median microseconds of mask, accept and forced for a token."""
    import torch

    torch.set_num_threads(1)
    logits = torch.zeros(llm.program.vocab_size or llm.tokenizer.size)
    spent = []
    for _ in range(5):
        state = compiler.start(rules)
        for token in tokens:
            begin = time.perf_counter()
            state.mask(logits)
            state.accept(token)
            state.forced()
            spent.append(time.perf_counter() - begin)
    return statistics.median(spent) * 1e6


if __name__ == "__main__":
    main()
