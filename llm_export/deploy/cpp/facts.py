"""Variables of ``model_facts.h``, from a manifest."""

from __future__ import annotations

from typing import Any

from runtime_py.manifest import is_endless

SAMPLING = ("top_k", "top_p", "min_p", "repetition_penalty")
"""Settings of a manifest, beside the temperature, that the C++ sampler has."""
_CHUNK = 256
"""As in ``runtime_py.program``: longer steps of a prompt are slower."""


def model_facts(manifest: dict[str, Any], data_file: str) -> dict[str, Any]:
    """
    Args:
        data_file: name of the .ptd beside the program; '' if there is none.
    """
    program, tokens, sampling = manifest["program"], manifest["tokenizer"], manifest["sampling"]
    steps = program.get("steps", {"forward": program["prefill_length"]})
    longest = max(steps.values())
    rewind = program.get("rewind", {"until": -1, "tokens": 0})
    return {
        "model": manifest["model"]["name"],
        "token_type": f"{program.get('token_dtype', 'int64')}_t",
        "methods": list(steps.items()),
        "dynamic_shapes": program["dynamic_shapes"],
        "chunk": min(longest, _CHUNK) if program["dynamic_shapes"] else longest,
        "context_length": program["context_length"],
        "vocabulary": program["vocab_size"],
        "attention_sink": is_endless(program),
        "recurrent": program.get("recurrent", False),
        "rewind_until": rewind["until"],
        "rewind_tokens": rewind["tokens"],
        "bos_id": tokens["bos_id"] if tokens["add_bos"] and tokens["bos_id"] is not None else -1,
        "eos_ids": tokens["eos_ids"],
        "sampling": [
            float(sampling["temperature"]), sampling["top_k"], float(sampling["top_p"]),
            float(sampling.get("min_p", 0)), float(sampling.get("repetition_penalty", 1)),
            sampling["max_new_tokens"],
        ],
        "data_file": data_file,
        **_chat_facts(manifest),
    }  # fmt: skip


def _chat_facts(manifest: dict[str, Any]) -> dict[str, Any]:
    turns = manifest.get("chat", {}).get("turns")
    if turns is None:
        return {
            "has_chat": False, "chat_start": "", "turns": [], "generation_prompt": "",
            "trims": False, "drops_reasoning": False,
        }  # fmt: skip
    return {
        "has_chat": True,
        "chat_start": turns["start"],
        "turns": [(role, each["prefix"], each["suffix"]) for role, each in turns["roles"].items()],
        "generation_prompt": turns["generation_prompt"],
        "trims": turns["trims"],
        "drops_reasoning": turns["drops_reasoning"],
    }
