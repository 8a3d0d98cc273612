"""``get_model_schema``: JSON that declares each dimension of a program's tensors.

{method: {inputs: [...], outputs: [...], runtimeConstraints: [...]}}; a tensor is {kind: Tensor,
dtype, shape}, a dimension {kind: constant, value}, {kind: range, range: {min, max, step}} or {kind:
enum, choices}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llm_export.compat.program_methods import ProgramMethod, TensorMeta
from llm_export.consumers.check_methods import Form
from llm_export.consumers.contract import Contract, MethodRule
from llm_export.consumers.facts import BundleFacts
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.signature import Dim
from llm_export.consumers.verdict import Row

NAME = "get_model_schema"


def schema_rows(facts: BundleFacts, contract: Contract, form: Form, fixes: Fixes) -> Iterator[Row]:
    """One row for each method of the form: whether what it declares is true of the program, and has
    the ranges that the contract asks for."""
    rule = contract.constants.get(NAME)
    text = facts.constant(NAME)
    if rule is None or rule.type != "schema" or not isinstance(text, str):
        return  # without it, its row among the constants has failed
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        yield Row(f"{NAME}: form", False, "is not a JSON object", fixes.again())
        return
    for name, method_rule in form.items():
        method = facts.methods.get(name)
        if method is None:
            continue
        problem = _problem(schema.get(name), method, method_rule)
        yield Row(
            f"{NAME}: {name}", not problem, problem or "is as the program",
            fixes.again() if problem else "",
        )  # fmt: skip


def _problem(declared: Any, method: ProgramMethod, rule: MethodRule) -> str:
    if not isinstance(declared, dict):
        return "declares no such method"
    for side in ("inputs", "outputs"):
        said, tensors = declared.get(side), getattr(method, side)
        if not isinstance(said, list) or len(said) != len(tensors):
            return f"does not declare its {len(tensors)} {side}"
        rules = rule.tensors(side)
        for index, (spec, tensor) in enumerate(zip(said, tensors, strict=True)):
            dims = rules[index].dims if index < len(rules) else ()
            if problem := _tensor_problem(spec, tensor, dims):
                return f"{side[:-1]} {index} {problem}"
    return ""


def _tensor_problem(spec: Any, tensor: object, dims: tuple[Dim, ...]) -> str:
    if not isinstance(tensor, TensorMeta):
        return ""
    if not isinstance(spec, dict) or spec.get("kind") != "Tensor":
        return "is not declared as a tensor"
    if spec.get("dtype") != tensor.dtype:
        return f"is declared as {str(spec.get('dtype'))[:20]}, not {tensor.dtype}"
    shape = spec.get("shape")
    if not isinstance(shape, list) or len(shape) != len(tensor.sizes):
        return f"is not declared with {len(tensor.sizes)} dimensions"
    rules: tuple[Dim | None, ...] = dims if len(dims) == len(shape) else (None,) * len(shape)
    for said, size, rule in zip(shape, tensor.sizes, rules, strict=True):
        bounds = _bounds(said)
        if bounds is None:
            return f"has a dimension of no known kind: {str(said)[:40]}"
        kind, least, most = bounds
        if most != size:
            return f"is declared up to {most} where the program takes {size}"
        if least != most and not tensor.dynamic:
            return f"is declared from {least} where the program takes {size} alone"
        if not 1 <= least <= most:
            return f"is declared from {least} to {most}"
        if rule is not None and rule.dynamic and kind == "constant":
            return f"declares a fixed {rule.text[0]}"
    return ""


def _bounds(said: Any) -> tuple[str, int, int] | None:
    """(kind, least, most) of a dimension; None if it is not of the form above."""
    try:
        kind = said["kind"]
        if kind == "constant":
            return kind, int(said["value"]), int(said["value"])
        if kind == "range":
            return kind, int(said["range"]["min"]), int(said["range"]["max"])
        if kind == "enum":
            return kind, min(map(int, said["choices"])), max(map(int, said["choices"]))
    except (KeyError, TypeError, ValueError, OverflowError):  # int() of an infinite number
        pass
    return None
