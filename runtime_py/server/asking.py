"""Parameters that chat completions and responses share, as arguments of ``Answers.stream``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.server.errors import refused, wrong

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def with_tools(
    tools: Sequence[Mapping[str, Any]] | None, choice: Any, parallel: bool | None
) -> dict[str, Any]:
    """
    Raises:
        ApiError: a tool is none, the choice names none of them, or one call at most is asked for.
    """
    if tools and parallel is False:
        raise wrong(
            "parallel_tool_calls: false is not supported: the model may call several tools",
            "parallel_tool_calls", "unsupported_value",
        )  # fmt: skip
    if not tools:
        if choice not in (None, "auto", "none"):
            raise wrong("tool_choice needs tools", "tool_choice")
        return {}
    for number, tool in enumerate(tools):
        function = tool.get("function")
        named = isinstance(function, Mapping) and isinstance(function.get("name"), str)
        if tool.get("type") != "function" or not named:
            raise wrong(
                f"tools[{number}] must be a function with a name; the server has no other tools",
                f"tools[{number}]",
            )
    return {"tools": list(tools), **({} if choice is None else {"tool_choice": choice})}


def with_format(given: Mapping[str, Any] | None, param: str) -> dict[str, Any]:
    """Of ``response_format``: text, json_object or json_schema.

    Raises:
        ApiError: it is none of these, or its schema cannot be followed.
    """
    if given is None:
        return {}
    from runtime_py.constraints import response_format

    try:
        constraint = response_format(given)
    except BundleRuntimeError as error:
        raise refused(error, param) from None
    return {} if constraint is None else {"constraint": constraint}


def template_variables(given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Those of ``chat_template_kwargs``.

    Args:
        known: those that the template reads.

    Raises:
        ApiError: one has no effect.
    """
    for name in given:
        if name not in known and name != "enable_thinking":
            choices = ", ".join(sorted(known)) or "none"
            raise wrong(
                f"the chat template has no variable '{name[:80]}'; it has: {choices}",
                "chat_template_kwargs",
            )
    return dict(given)


def with_thinking(
    variables: dict[str, Any],
    effort: str | None,
    budget: int | None,
    known: Collection[str],
) -> dict[str, Any]:
    """How much the model may think. An effort is passed to templates that read it; where thinking
    can only be switched, none is off and all others are on.

    Args:
        variables: of the template; ``enable_thinking``, an argument of its own, is removed.
        known: those that the template reads.

    Raises:
        ApiError: there is no such effort, or the model has none.
    """
    given: dict[str, Any] = {}
    if "enable_thinking" in variables:
        given["enable_thinking"] = variables.pop("enable_thinking")
    if effort is not None:
        if effort not in _EFFORTS:
            raise wrong(
                f"reasoning_effort must be one of {', '.join(_EFFORTS)}", "reasoning_effort"
            )
        if effort == "none":
            given.setdefault("enable_thinking", False)
            budget = 0 if budget is None else budget
        elif "reasoning_effort" in known:
            variables["reasoning_effort"] = effort
        elif "enable_thinking" in known:
            given.setdefault("enable_thinking", True)
        else:
            raise wrong("the model does not know reasoning_effort", "reasoning_effort",
                        "unsupported_parameter")  # fmt: skip
    if budget is not None:
        given["thinking_budget"] = budget
    return given
