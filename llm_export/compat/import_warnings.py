"""Warnings that torchao and torch log when they are imported, which say nothing of the user's work.

Written for torchao 0.18 and torch 2.13.
"""

from __future__ import annotations

import logging

_ANNOUNCED = {
    "torchao": "Failed to load",
    "torchao.kernel.intmm": "Warning: Detected no triton",
    "torch.utils._pytree": "is an Enum subclass and is now natively supported",
}
"""Logger -> part of its message: libraries for other processors, and a deprecation in torchao."""


class _Without(logging.Filter):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()


def silence_announcements() -> None:
    """Drop these messages, and no others of their loggers. For programs; a library leaves logging
    to who imports it."""
    for name, text in _ANNOUNCED.items():
        logger = logging.getLogger(name)
        if not any(isinstance(present, _Without) for present in logger.filters):
            logger.addFilter(_Without(text))
