"""A folder that chats in the terminal with Python: the bundle, its runtime, and exact versions."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.python.project import make

TARGET = DeployTarget(
    description="a folder that chats in a terminal, without llm_export",
    make=make,
    consumers=lambda settings: ("runtime_py",),
    leftovers=frozenset((".venv", "*__pycache__")),
)
