"""What an engine has that takes images."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from runtime_py.engines.engine import Engine
from runtime_py.vision.rows import Rows


class SeeingEngine(Engine, Protocol):
    """Its ``step`` takes ids of rows of images beside those of tokens.

    Attributes:
        images: the rows, by their ids.
    """

    images: Rows


@runtime_checkable
class Seeing(Protocol):
    """Tells such an engine from others."""

    images: Rows
