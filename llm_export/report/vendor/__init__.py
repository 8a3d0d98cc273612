"""Libraries of scripts that reports carry inside; see README.md."""

D3 = (
    "array", "color", "interpolate", "format", "time", "time-format", "scale", "selection", "axis",
    "hierarchy",
)  # fmt: skip
"""Modules of D3, each after those that it needs."""
