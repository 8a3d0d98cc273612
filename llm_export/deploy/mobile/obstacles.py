"""Why a bundle cannot be in an app that runs it with ExecuTorch's text runner."""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.deploy.base import Obstacle
from llm_export.deploy.mobile.facts import turns_of
from runtime_py.bundle import Bundle

FORWARD = "forward"
OPERATORS = frozenset(("aten", "dim_order_ops", "executorch_prim", "llama", "quantized_decomposed"))
"""Namespaces of operators: both platforms' libraries have ExecuTorch's own, the quantized ones and
the kernels for LLMs."""


def obstacles(bundle: Bundle) -> Sequence[Obstacle]:
    """What the classes of the published libraries, which load a program by two paths and take a
    text, cannot do with it."""
    manifest = bundle.manifest
    program = manifest["program"]
    steps = program.get("steps") or {FORWARD: program["prefill_length"]}
    fixed = not program["dynamic_shapes"] and steps.get(FORWARD, 1) > 1
    found = (
        (not program["kv_cache"] or "cache_io" in program,
         "its program keeps no keys and values itself, and the text runner needs one that does",
         "export with runtime.attention=auto"),
        (program.get("token_dtype", "int64") != "int64",
         "its program takes tokens of 32 bits, the text runner gives 64", "another backend"),
        (FORWARD not in steps,
         f"its program has the methods {', '.join(steps)}, and the text runner calls forward",
         "export with runtime=dynamic"),
        (fixed, "its program takes a fixed number of tokens per step",
         "export with runtime=dynamic, if the backend can"),
        ("adapters" in manifest, "its adapters are in files of their own",
         "export with checkpoint.adapter_mode=merged"),
        ("chat_template" in manifest["roles"] and turns_of(bundle) is None,
         "its chat template does more than put texts around messages (chat.turns of the manifest), "
         "and these apps have no Jinja",
         "--to react-native, whose app renders any template, or a checkpoint with a plain one"),
    )  # fmt: skip
    return [Obstacle(what, fix) for there, what, fix in found if there]
