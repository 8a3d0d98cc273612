"""A chat app for iOS: Swift, SwiftUI, and ExecuTorch's Swift package."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.ios.project import BACKENDS, OPTIONS, make
from llm_export.deploy.mobile.obstacles import OPERATORS, obstacles

TARGET = DeployTarget(
    description="a chat app for iOS (Xcode, Swift, SwiftUI)",
    make=make,
    backends=frozenset(BACKENDS),
    operators=OPERATORS,
    options=OPTIONS,
    obstacles=obstacles,
    consumers=lambda settings: ("ios",),
    leftovers=frozenset(("build", "*/xcuserdata", "*.xcodeproj/project.xcworkspace")),
)
