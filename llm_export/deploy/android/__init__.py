"""A chat app for Android: Kotlin, Compose, and ExecuTorch's AAR."""

from llm_export.deploy.android.project import BACKENDS, LEFTOVERS, OPTIONS, make
from llm_export.deploy.base import DeployTarget
from llm_export.deploy.mobile.obstacles import OPERATORS, obstacles

TARGET = DeployTarget(
    description="a chat app for Android (Gradle, Kotlin, Compose)",
    make=make,
    backends=frozenset(BACKENDS),
    operators=OPERATORS,
    options=OPTIONS,
    obstacles=obstacles,
    consumers=lambda settings: ("android",),
    leftovers=LEFTOVERS,
)
