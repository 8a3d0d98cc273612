"""A chat app of Expo and TypeScript on react-native-executorch, for Android and iOS."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.react_native.backends import NAMES
from llm_export.deploy.react_native.obstacles import obstacles
from llm_export.deploy.react_native.project import OPTIONS, make
from llm_export.deploy.react_native.versions import NEWEST, release_of

TARGET = DeployTarget(
    description="a chat app with Expo and react-native-executorch",
    make=make,
    backends=frozenset(NAMES),
    options=OPTIONS,
    obstacles=obstacles,
    consumers=lambda settings: (release_of(settings.options.get("version", NEWEST)).consumer,),
    leftovers=frozenset(
        ("node_modules", "package-lock.json", ".expo", "expo-env.d.ts", "android", "ios", "dist")
    ),
)
