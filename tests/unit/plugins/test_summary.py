"""Summaries of registry entries are whole sentences, however the docstring is broken."""

from __future__ import annotations

from llm_export.plugins.summary import summary_of
from llm_export.plugins_registration import REGISTRIES


def test_a_sentence_over_two_lines() -> None:
    said = summary_of("llm_export.checkpoints.meta:READER")
    assert said.endswith("one file per model-parallel rank, and ``params.json``")


def test_entries_have_a_summary() -> None:
    for registry in REGISTRIES.values():
        for name in registry.in_order():
            said = summary_of(registry.target(name))
            assert said, name
            assert not said.endswith((",", ":", " and", " of", " the")), (name, said)


def test_nothing_to_read() -> None:
    assert summary_of("no_such_module:X") == ""
