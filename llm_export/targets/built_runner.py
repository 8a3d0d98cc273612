"""Measure with a small native runner that is compiled here: without Python on the device."""

from __future__ import annotations

from typing import Any

from llm_export.targets.facts import DeviceFacts
from llm_export.targets.native_contract import check_contract, refuse
from llm_export.targets.native_runner import NativeRunner
from llm_export.targets.push import Item
from llm_export.targets.runner_build import build
from llm_export.targets.runners import Places, of_bundle
from runtime_py.bundle import Bundle

_LACKS = "llama::"
"""Operators that the libraries of ExecuTorch's wheel do not have."""


class BuiltRunner(NativeRunner):
    name = "built"

    def __init__(self) -> None:
        self._own = []
        self._arguments = []

    def files(
        self, bundle: Bundle, adapter: str | None, facts: DeviceFacts
    ) -> tuple[list[Item], list[Item]]:
        check_contract(bundle)
        program = bundle.manifest["program"]
        lacking = [n for n in bundle.manifest["requires"]["operators"] if n.startswith(_LACKS)]
        refuse(bundle, "a runner of the wheel's libraries", "give another --runner", [
            (lacking, f"needs {', '.join(lacking)}", "runtime.attention=plain"),
            ("forward" not in program.get("steps", {"forward": 1}), "has no method forward",
             "runtime=dynamic"),
            (bundle.manifest.get("adapters"), "keeps adapters in files of their own",
             "checkpoint.adapter_mode=merge"),
        ])  # fmt: skip
        self._own = build(facts)
        return of_bundle(bundle, [bundle.manifest["roles"]["program"]]), self._items()

    def _flags(
        self, bundle: Bundle, places: Places, settings: dict[str, int], total: int,
        threads: int, adapter: str | None,
    ) -> dict[str, Any]:  # fmt: skip
        program = bundle.manifest["program"]
        fixed = not program["dynamic_shapes"]
        return {
            "model_path": f"{places.bundle}/{bundle.manifest['roles']['program']}",
            "prompt_length": settings["prompt_length"],
            "decode_length": settings["decode_length"],
            "chunk": 1 if fixed else program.get("steps", {}).get(
                "forward", program["prefill_length"]),
            "vocab_size": program["vocab_size"],
            "cpu_threads": threads,
            "warmup": "true" if settings["warmup"] else "false",
        }  # fmt: skip
