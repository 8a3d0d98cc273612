"""Names of libraries in pickled models.

A pickle names classes and functions by the place where they are defined, which may be private:
torch's activation functions are defined in ``torch._C._nn``. Written for torch 2.13 and
torchao 0.18.
"""

from __future__ import annotations

TRUSTED = ("torch.nn.", "torch._C._nn.", "torchao.quantization.")
"""Prefixes of names that a cached module's pickle may contain."""
