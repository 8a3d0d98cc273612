"""Take a language model from its checkpoint to a proven ExecuTorch artifact.

The Python surface is ``llm_export.api``; it is not imported here, so that the command
line starts without torch.
"""

from llm_export._version import __version__

__all__ = ["__version__"]
