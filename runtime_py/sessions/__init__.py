"""Several texts over one loaded program: ``LLM.session`` makes them."""

from __future__ import annotations

from runtime_py.sessions.overflow import AttentionSink, Overflow, Slide, Stop, Summarise
from runtime_py.sessions.session import Session

__all__ = ["AttentionSink", "Overflow", "Session", "Slide", "Stop", "Summarise"]
