"""Which images are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What an image may take. The pixels are counted before they are decoded: a file of a few
    kilobytes can hold billions of them.

    Attributes:
        bytes: of the file.
        pixels: width times height.
        urls: whether http and https URLs are fetched. Not by default: who writes the messages
            would otherwise choose what this machine connects to.
        files: whether a text that is no URL is the path of a file of this machine.
    """

    bytes: int = 64 << 20
    pixels: int = 64_000_000
    urls: bool = False
    files: bool = True


DEFAULTS = Limits()
