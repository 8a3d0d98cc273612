"""llguidance, which is imported only when an answer is to be constrained."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from runtime_py.errors import ArgumentError, MissingPackageError


def llguidance() -> ModuleType:
    """
    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import llguidance
    except ImportError as error:
        raise MissingPackageError(
            f"constrained decoding needs the package llguidance, which cannot be imported: {error}",
            fix='pip install "llm-export[constrained]", or: pip install llguidance',
        ) from None
    return llguidance


def installed() -> bool:
    """Whether llguidance can be found."""
    return find_spec("llguidance") is not None


def check(what: str, grammar: str, fix: str) -> None:
    """
    Args:
        what: the argument, in a message.
        grammar: JSON of llguidance's ``TopLevelGrammar``.

    Raises:
        ArgumentError: llguidance refuses it; with its message, which has the position.
    """
    failed, said = llguidance().LLMatcher.validate_grammar_with_warnings(grammar)
    if failed:
        raise ArgumentError(f"{what} cannot be used: {said[0].strip()}", fix=fix)
