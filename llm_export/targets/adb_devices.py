"""The devices that adb lists, and the one that is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.errors import TargetError, did_you_mean

READY = "device"
PASSING = ("authorizing", "connecting")
"""States that last a moment."""
_FIXES = {
    "unauthorized": "unlock the device and accept this computer's key on its screen; if it does "
    "not ask: adb kill-server, or revoke the authorizations in its developer options",
    "offline": "adb reconnect offline, or unplug it and plug it in again",
    "no permissions": "Linux needs a rule of udev for the device: "
    "apt-get install android-sdk-platform-tools-common, then plug it in again",
    "recovery": "start it in the normal way",
    "bootloader": "start it in the normal way",
    "sideload": "start it in the normal way",
    "authorizing": "wait a moment, and then again",
    "connecting": "wait a moment, and then again",
}
_LINE = re.compile(r"(?P<serial>\S+)\s+(?P<state>no permissions.*?|\S+)(?P<more>(\s+\w+:\S+)*)\s*")


@dataclass(frozen=True)
class Device:
    """A line of ``adb devices -l``.

    Attributes:
        state: ``device`` if it can be used.
        model: '' if the device is not ready.
    """

    serial: str
    state: str
    model: str = ""

    def __str__(self) -> str:
        more = ", ".join(part for part in (self.model, self.state) if part and part != READY)
        return f"{self.serial} ({more})" if more else self.serial


def devices_of(listing: str) -> list[Device]:
    """The devices in the output of ``adb devices -l``."""
    _, _, lines = listing.partition("List of devices attached")
    found = []
    for line in lines.splitlines()[1:]:
        if (match := _LINE.fullmatch(line)) is not None:
            model = re.search(r"\bmodel:(\S+)", match["more"])
            state = re.split(r"[;(]", match["state"])[0].strip()
            found.append(Device(match["serial"], state, model[1] if model else ""))
    return found


def the_device(devices: Sequence[Device], serial: str) -> Device:
    """The device of that serial number; '' is the only one that there is.

    Raises:
        TargetError: there is none or not only one, or it is not ready.
    """
    if not devices:
        raise TargetError(
            "adb finds no device", where=f"adb:{serial}" if serial else "adb devices",
            fix="plug it in with USB debugging switched on in its developer options, "
            "or adb connect HOST:PORT",
        )  # fmt: skip
    if serial:
        chosen = [d for d in devices if d.serial == serial]
        if not chosen:
            raise TargetError(f"adb finds no device '{serial}'", where="adb devices",
                              fix=did_you_mean(serial, [d.serial for d in devices]))  # fmt: skip
    else:
        chosen = [d for d in devices if d.state == READY] or list(devices)
        if len(chosen) > 1:
            listed = ", ".join(map(str, chosen))
            raise TargetError(f"adb finds {len(chosen)} devices: {listed}", where="adb devices",
                              fix=f"name one: --target adb:{chosen[0].serial}")  # fmt: skip
    (device,) = chosen
    if device.state != READY:
        raise TargetError(
            f"the device {device.serial} is {device.state}", where="adb devices",
            fix=_FIXES.get(device.state, f"adb must list it as '{READY}'"),
        )  # fmt: skip
    return device
