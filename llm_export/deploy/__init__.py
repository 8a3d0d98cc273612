"""Projects for apps with a bundle in them, by the platform that they are for."""

from llm_export.deploy.base import DeployTarget
from llm_export.registry import Registry

DEPLOY_TARGETS: Registry[DeployTarget] = Registry("deploy target", needs=("description", "make"))

DEPLOY_TARGETS.register("android", "llm_export.deploy.android:TARGET")
DEPLOY_TARGETS.register("ios", "llm_export.deploy.ios:TARGET")
DEPLOY_TARGETS.register("react-native", "llm_export.deploy.react_native:TARGET")
DEPLOY_TARGETS.register("cpp", "llm_export.deploy.cpp.target:TARGET")
DEPLOY_TARGETS.register("python", "llm_export.deploy.python:TARGET")
DEPLOY_TARGETS.register("hub", "llm_export.deploy.hub:TARGET")
DEPLOY_TARGETS.take_from_plugins("deploy_targets")
