"""Between two steps of a long prompt other threads get their turn."""

from __future__ import annotations

import threading

import pytest

from runtime_py import turns
from runtime_py.errors import Cancelled


def test_a_pause_only_where_it_serves_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(turns.time, "sleep", pauses.append)
    monkeypatch.setattr(turns.threading, "active_count", lambda: 1)
    turns.next_step(None, first=False)
    monkeypatch.setattr(turns.threading, "active_count", lambda: 2)
    turns.next_step(None, first=True)
    assert not pauses, "alone, and before the first step"
    turns.next_step(threading.Event(), first=False)
    assert len(pauses) == 1


def test_a_stopped_prompt_ends_before_its_next_step() -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Cancelled):
        turns.next_step(stopped, first=True)
