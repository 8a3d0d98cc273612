"""What a device is, and how warm and how fast its processor is at a moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL
from llm_export.targets.base import Target
from llm_export.targets.facts_script import FACTS, READING

_COLDEST, _HOTTEST = -30.0, 150.0
"""Degrees Celsius beyond which a sensor is not one of temperature, or off."""


@dataclass(frozen=True)
class DeviceFacts:
    """
    Attributes:
        product: maker and model, of a machine or a phone.
        soc: system on a chip; '' where the device does not tell.
        processor: its name, or the SoC's, or the architecture.
        release: version of the operating system, as users know it.
        features: instruction sets, as the kernel names them.
        max_hertz: highest frequency of each CPU; empty where the device does not tell.
    """

    system: str
    release: str
    kernel: str
    architecture: str
    product: str
    soc: str
    processor: str
    logical_cpus: int | None
    physical_cpus: int | None = field(default=None, metadata=OPTIONAL)
    memory_bytes: int = 0
    features: tuple[str, ...] = ()
    max_hertz: tuple[int, ...] = ()

    @property
    def fast_cpus(self) -> int | None:
        """CPUs that are not of the slowest kind; all, if there is one kind only. ExecuTorch's
        thread pool has this size by default."""
        if len(set(self.max_hertz)) > 1:
            return sum(hertz > min(self.max_hertz) for hertz in self.max_hertz)
        return self.logical_cpus


@dataclass(frozen=True)
class Reading:
    """
    Attributes:
        celsius: name of a sensor -> temperature.
        hertz: frequency of each CPU at the moment; hertz_limit: the one it may have.
        governor: of the CPU frequency.
        battery: level in percent, celsius, and whether it is plugged in, as far as known.
        thermal_status: of Android, 0 (none) to 6 (shutdown).
    """

    celsius: dict[str, float] = field(default_factory=dict)
    hertz: tuple[int, ...] = ()
    hertz_limit: tuple[int, ...] = ()
    governor: str | None = field(default=None, metadata=OPTIONAL)
    available_bytes: int | None = field(default=None, metadata=OPTIONAL)
    load_average: float | None = field(default=None, metadata=OPTIONAL)
    battery: dict[str, float] = field(default_factory=dict)
    thermal_status: int | None = field(default=None, metadata=OPTIONAL)

    @property
    def hottest(self) -> float | None:
        """Of the sensors of processor and SoC; of all, if none is named so."""
        of_chip = [
            value for name, value in self.celsius.items()
            if any(word in name.lower() for word in ("cpu", "soc", "pkg", "core", "acpitz"))
        ]  # fmt: skip
        return max(of_chip or self.celsius.values(), default=None)


def facts_of(target: Target) -> DeviceFacts:
    """Raises TargetError if the connection fails; what the device does not tell is left out."""
    return parse_facts(target.checked(FACTS, "the device does not tell what it is"))


def reading_of(target: Target) -> Reading:
    """Raises TargetError if the connection fails; what the device does not tell is left out."""
    return parse_reading(target.checked(READING, "the device does not tell its temperature"))


def parse_facts(text: str) -> DeviceFacts:
    """Facts from the lines that the script ``FACTS`` prints."""
    said: dict[str, str] = {}
    for key, value in _lines(text):
        said.setdefault(key, value)
    maker, product = said.get("maker", ""), said.get("product", "")
    soc = " ".join(filter(None, (said.get("soc_maker"), said.get("soc") or said.get("board"))))
    memory = _whole(said.get("memory_bytes")) or (_whole(said.get("memory_kilobytes")) or 0) * 1024
    architecture = said.get("architecture", "")
    return DeviceFacts(
        system=said.get("system", ""),
        release=said.get("release", ""),
        kernel=said.get("kernel", ""),
        architecture=architecture,
        product=product if product.startswith(maker) else f"{maker} {product}".strip(),
        soc=soc,
        processor=said.get("processor") or soc or architecture,
        logical_cpus=_whole(said.get("logical_cpus")),
        physical_cpus=_whole(said.get("physical_cpus")),
        memory_bytes=memory,
        features=tuple(sorted(said.get("features", "").split())),
        max_hertz=_by_cpu(_lines(text), "cpuinfo_max_freq"),
    )


def parse_reading(text: str) -> Reading:
    """A reading from the lines that the script ``READING`` prints."""
    lines = list(_lines(text))
    said = dict(lines)
    celsius: dict[str, float] = {}
    for key, value in lines:
        if key.startswith("zone:") and (degrees := _celsius(value)) is not None:
            name = key.removeprefix("zone:") or "unnamed"
            celsius[name] = max(degrees, celsius.get(name, degrees))
    governors = sorted({v for key, v in lines if key.endswith(":scaling_governor")})
    available = _whole(said.get("available_kilobytes"))
    load = said.get("load", "").split()
    return Reading(
        celsius=celsius,
        hertz=_by_cpu(lines, "scaling_cur_freq"),
        hertz_limit=_by_cpu(lines, "scaling_max_freq"),
        governor=", ".join(governors) or None,
        available_bytes=available * 1024 if available is not None else None,
        load_average=_number(load[0]) if load else None,
        battery=_battery(said),
        thermal_status=_whole(said.get("thermal_status")),
    )


def _lines(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        key, tab, value = line.partition("\t")
        if tab and value.strip():
            yield key.strip(), value.strip()


def _by_cpu(lines: Iterable[tuple[str, str]], name: str) -> tuple[int, ...]:
    """Frequencies in hertz, which the kernel tells in kilohertz, by number of the CPU."""
    found: dict[int, int] = defaultdict(int)
    for key, value in lines:
        parts = key.split(":")
        if len(parts) == 3 and parts[0] == "cpu" and parts[2] == name and parts[1].isdigit():
            found[int(parts[1])] = (_whole(value) or 0) * 1000
    return tuple(found[cpu] for cpu in sorted(found))


def _battery(said: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    if (level := _number(said.get("battery:level"))) is not None:
        found["percent"] = level
    if (tenths := _number(said.get("battery:temperature"))) is not None:
        found["celsius"] = tenths / 10
    sources = [said.get(f"battery:{name} powered") for name in ("AC", "USB")]
    if any(sources):
        found["plugged_in"] = float("true" in sources)
    return found


def _celsius(value: str) -> float | None:
    """The kernel says thousandths of a degree; some vendors' drivers say whole degrees."""
    number = _number(value)
    if number is None:
        return None
    degrees = number / 1000 if abs(number) > _HOTTEST else number
    return degrees if _COLDEST < degrees < _HOTTEST and degrees != 0 else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < 1e18 else None
