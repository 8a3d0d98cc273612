"""Bytes in words."""

from __future__ import annotations


def amount(count: float) -> str:
    """Bytes with two digits or more, in decimal units: 3.9 MB."""
    if count < 1e5:
        return f"{count / 1e3:.1f} kB"
    if count < 1e8:
        return f"{count / 1e6:.1f} MB"
    # Whole megabytes below a gigabyte, also once they are rounded.
    return f"{count / 1e6:.0f} MB" if count < 999.5e6 else f"{count / 1e9:.1f} GB"
