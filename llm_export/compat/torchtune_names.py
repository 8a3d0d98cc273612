"""torchtune's conversions of tensor names, which some families have in private modules.

Written for torchtune 0.6.1, its last release. Call ``load_torchtune`` first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Pair = tuple[Callable[..., Any], Callable[..., Any]]
"""To Hugging Face's names, and from them."""


def qwen2() -> Pair:
    from torchtune.models.qwen2._convert_weights import qwen2_hf_to_tune, qwen2_tune_to_hf

    return qwen2_tune_to_hf, qwen2_hf_to_tune


def gemma2() -> Pair:
    from torchtune.models.gemma2._convert_weights import gemma2_hf_to_tune, gemma2_tune_to_hf

    return gemma2_tune_to_hf, gemma2_hf_to_tune


def phi3() -> Pair:
    from torchtune.models.phi3._convert_weights import phi3_hf_to_tune, phi3_tune_to_hf

    return phi3_tune_to_hf, phi3_hf_to_tune


def adapter_modules() -> set[str]:
    """torchtune's own names of the modules that an adapter may change."""
    from torchtune.models.convert_weights import _TO_PEFT_TARGET_MODULES

    return set(_TO_PEFT_TARGET_MODULES)
