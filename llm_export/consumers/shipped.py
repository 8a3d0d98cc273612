"""The contracts that come with llm_export: each attribute is the one of that name, NAME@VERSION."""

from __future__ import annotations

from importlib.resources import files

from llm_export.consumers.contract import SUFFIX, Contract, read_contract


def __getattr__(name: str) -> Contract:
    file = files("llm_export.consumers").joinpath("contracts", name + SUFFIX)
    if "@" not in name or not file.is_file():
        raise AttributeError(name)
    return globals().setdefault(name, read_contract(file))
