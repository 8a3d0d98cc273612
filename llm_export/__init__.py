"""Export large language models from a checkpoint to a verified ExecuTorch bundle.

The public Python API is ``llm_export.api``. It is not imported here, so that the command line
starts without torch.
"""

from llm_export._version import __version__

__all__ = ["__version__"]
