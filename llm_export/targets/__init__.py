"""Devices on which a bundle is measured, by the kind that begins their address: local, ssh:HOST,
adb:SERIAL.
"""

from llm_export.registry import Registry
from llm_export.targets.base import Target, TargetKind

TARGETS: Registry[TargetKind] = Registry("kind of target", needs=("usage", "open"))

TARGETS.register("local", "llm_export.targets.local:TARGET")
TARGETS.register("ssh", "llm_export.targets.ssh:TARGET")
TARGETS.register("adb", "llm_export.targets.adb:TARGET")
TARGETS.take_from_plugins("target_kinds")


def open_target(address: str) -> Target:
    """Connect to a device.

    Args:
        address: the kind, and after a colon what that kind needs: ``ssh:pi@raspberry:2222``.

    Raises:
        RecipeError: there is no such kind, or the address is not of its form.
        TargetError: the device cannot be reached.
        MissingDependencyError: this machine lacks the client program.
    """
    kind, _, rest = address.partition(":")
    return TARGETS.get(kind).open(rest)
