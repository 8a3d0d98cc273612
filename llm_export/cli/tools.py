"""The tools of a conversation in the terminal, and the results of their calls."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.errors import InputError

if TYPE_CHECKING:
    from runtime_py import ToolCall

Ask = Callable[[str], "str | None"]
"""What to ask for -> the line that a person answers; None at the end of the input."""


class Toolbox:
    """Functions, which are called, or JSON schemas, whose results a person is asked for."""

    def __init__(self, tools: Sequence[Any]) -> None:
        self.tools = list(tools)
        self._functions = {tool.__name__: tool for tool in tools if callable(tool)}

    @classmethod
    def read(cls, file: Path) -> Toolbox:
        """Of a Python file with functions, or of a JSON file with schemas.

        Raises:
            InputError: it cannot be read, or has none.
        """
        where = f"--tools {file}"
        return cls(_functions(file, where) if file.suffix == ".py" else json_list(file, where))

    @property
    def asks(self) -> bool:
        """Whether a person has to give results."""
        return len(self._functions) < len(self.tools)

    def result(self, call: ToolCall, ask: Ask) -> str | None:
        """What the tool returns, or what is wrong with the call; None: the input has ended."""
        function = self._functions.get(call.name)
        if function is None:
            return ask(f"result of {call.name}> ") if self.asks else f"there is no {call.name}"
        try:
            made = function(**call.arguments)
            return made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)
        except Exception as error:  # of a function of the user's, for the model to read
            return f"{type(error).__name__}: {error}"


def _functions(file: Path, where: str) -> list[Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location(f"tools_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    except Exception as error:
        raise InputError(f"fails with {type(error).__name__}: {error}", where=where) from None
    found = [
        each for name, each in vars(module).items()
        if inspect.isfunction(each) and each.__module__ == spec.name and not name.startswith("_")
    ]  # fmt: skip
    if not found:
        raise InputError("there is no function in it", where=where,
                         fix="def NAME(...), with type hints and a docstring")  # fmt: skip
    return found


def json_list(file: Path, where: str) -> list[Any]:
    """
    Raises:
        InputError: the file cannot be read, or is not valid JSON.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=where) from None
    return value if isinstance(value, list) else [value]
