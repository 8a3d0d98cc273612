"""Bundles of another task than a class is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import require_task, task_name, task_settings
from runtime_py.errors import BundleRuntimeError


def bundle(name: str | None) -> Bundle:
    task = {} if name is None else {"task": {"name": name, "settings": {"a": 1}}}
    return Bundle(Path("made"), task)


def test_a_bundle_without_the_entry_generates() -> None:
    assert task_name(bundle(None)) == "generate"
    assert task_settings(bundle(None)) == {}
    assert task_settings(bundle("embed")) == {"a": 1}
    require_task(bundle(None), "generate", "see")


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("embed", "this bundle embeds texts", "Embedder.load"),
        ("transcribe", "this bundle transcribes speech", "Transcriber.load"),
        ("translate", "turns a text into another", "Translator.load"),
        ("classify", "is for the task 'classify'", "the plugin that made it"),
    ],
)
def test_the_refusal_names_what_loads_it(name: str, what: str, fix: str) -> None:
    with pytest.raises(BundleRuntimeError) as found:
        require_task(bundle(name), "generate", "see")
    assert what in str(found.value)
    assert fix in str(found.value)
