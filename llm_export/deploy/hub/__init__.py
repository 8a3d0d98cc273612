"""A repository for a model hub: the programs of a model, by size and backend, with their card."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.hub.project import OPTIONS, make

TARGET = DeployTarget(
    description="a repository for a model hub, of one or several bundles",
    make=make,
    options=OPTIONS,
    several=True,
)
