"""A folder that runs a bundle in the terminal with Python: its runtime, and exact versions."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.python.project import make
from llm_export.deploy.python.verbs import VERBS
from runtime_py.bundle_task import GENERATE, SEE

TARGET = DeployTarget(
    description="a folder that chats, embeds, transcribes or translates in a terminal, without "
    "llm_export",
    make=make,
    consumers=lambda settings: ("runtime_py",),
    leftovers=frozenset((".venv", "*__pycache__")),
    tasks=(GENERATE, SEE, *VERBS),
)
