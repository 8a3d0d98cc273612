"""The context lengths for which a model's rotary position embeddings are made."""

from __future__ import annotations

from collections.abc import Iterable

from llm_export.errors import CheckpointError
from llm_export.models.config import RopeConfig
from llm_export.models.definitions.base import ContextLimit

ORIGINAL = "original_max_position_embeddings"


def context_limit(positions: int, ropes: Iterable[RopeConfig]) -> ContextLimit:
    """The longest context of a model with ``positions`` positions in its config.

    YaRN (arXiv:2309.00071) reaches ``factor`` times the original positions, and published configs
    often leave ``max_position_embeddings`` as it was. Dynamic scaling changes the frequencies with
    every token past the original positions, and a program has one table of them.
    """
    limit = ContextLimit(positions, f"the model has {positions} positions")
    for rope in ropes:
        original = rope.args.get(ORIGINAL)
        if not isinstance(original, float):
            continue
        if rope.scaling == "yarn":
            reach, factor = int(_number(rope, "factor") * original), _number(rope, "factor")
            if reach > limit.tokens:
                why = f"YaRN reaches {factor:g} x {original:g} positions"
                limit = ContextLimit(reach, why)
        elif rope.scaling == "dynamic" and original < limit.tokens:
            limit = dynamic_limit(int(original))
    return limit


def dynamic_limit(original: int) -> ContextLimit:
    why = (
        f"dynamic RoPE scaling changes with every token past {original}, and a program has one "
        "table of rotations"
    )
    return ContextLimit(original, why)


def remarks(positions: int, ropes: Iterable[RopeConfig], context_length: int) -> tuple[str, ...]:
    """What the user should know of a program with this context."""
    found = []
    for rope in ropes:
        factors = factors_for(rope, context_length)
        if factors is not None:
            original = _number(rope, ORIGINAL)
            found.append(f"LongRoPE: the program has {factors}, {_LONGROPE[factors]}{original:g}")
        elif rope.scaling == "yarn" and context_length > positions:
            reach = f"{_number(rope, 'factor'):g} x {_number(rope, ORIGINAL):g} positions"
            found.append(f"runtime.context_length: {context_length}, YaRN reaches {reach}")
    return tuple(dict.fromkeys(found))


_LONGROPE = {
    "short_factor": "as the published model for texts of up to ",
    "long_factor": "also for texts for which the published model takes short_factor: those of up "
    "to ",
}


def factors_for(rope: RopeConfig, context_length: int) -> str | None:
    """Which of LongRoPE's two sets of factors (arXiv:2402.13753) a program of this context has:
    short_factor or long_factor; None for other scalings. A program has only one set, because cached
    keys cannot be rotated again."""
    if rope.scaling != "longrope":
        return None
    return "long_factor" if context_length > _number(rope, ORIGINAL) else "short_factor"


def _number(rope: RopeConfig, key: str) -> float:
    value = rope.args[key]
    assert not isinstance(value, tuple)
    return value


def require_factor_per_pair(config: RopeConfig) -> None:
    """Raises CheckpointError if LongRoPE's lists have not one factor for each rotated pair."""
    for key in ("short_factor", "long_factor"):
        factors = config.args.get(key)
        if isinstance(factors, tuple) and len(factors) != config.dim // 2:
            raise CheckpointError(
                f"{key} has {len(factors)} factors, and {config.dim} channels are rotated in pairs",
                where="config keys rope_scaling or rope_parameters, and head_dim",
            )
