"""Make a model of random weights say what a test needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from runtime_py import LLM

Say = Callable[[str], str | int]


def with_template(bundle: Path, folder: Path, source: str, special: str | None = None) -> LLM:
    """A bundle with another chat template, and another text for its token that begins texts."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "chat_template.jinja").write_text(source)
    if special is not None:
        file = folder / "tokenizer.json"
        made = file.read_text().replace("<|begin|>", special)
        file.write_text(made)
        manifest["tokenizer"]["special_tokens"]["bos_token"] = special
    for name in ("tokenizer.json", "chat_template.jinja"):
        manifest["files"][name]["bytes"] = (folder / name).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return LLM.load(folder, verify_hashes=False)


def says(llm: LLM, text: str) -> Callable[[list[int], Tensor], Tensor]:
    """A logits_processor with which the model answers ``text``."""
    script = llm.tokenizer.encode(text, raw=False)
    return follows(llm, lambda said: script[len(said)] if len(said) < len(script) else _end(llm))


def follows(llm: LLM, choose: Callable[[list[int]], int]) -> Callable[[list[int], Tensor], Tensor]:
    """A logits_processor by which the next token is ``choose(those of the answer so far)``."""
    prompt: list[int] = []

    def process(ids: list[int], logits: Tensor) -> Tensor:
        if not prompt:
            prompt.append(len(ids))
        chosen = torch.full_like(logits, -1e9)
        chosen[choose(ids[prompt[0] :])] = 0
        return chosen

    return process


def continues(llm: LLM, choose: Callable[[str], str]) -> Callable[[list[int], Tensor], Tensor]:
    """A logits_processor by which the answer goes on with the first token of ``choose(its text so
    far)``; with none, it ends."""

    def next_token(said: list[int]) -> int:
        text = choose(llm.tokenizer.decode(said))
        return llm.tokenizer.encode(text, raw=False)[0] if text else _end(llm)

    # The tokens that had to follow at the beginning are part of the answer as well.
    return follows(llm, next_token)


def _end(llm: LLM) -> int:
    return min(llm.tokenizer.eos_ids)
