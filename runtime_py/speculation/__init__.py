"""Speculative decoding: tokens are proposed, and the program checks several in one step."""

from runtime_py.speculation.draft_model import DraftModel
from runtime_py.speculation.prompt_lookup import PromptLookup
from runtime_py.speculation.proposer import Proposer

__all__ = ["DraftModel", "PromptLookup", "Proposer"]
