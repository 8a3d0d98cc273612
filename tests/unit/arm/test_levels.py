"""The features of QEMU's processors, as its programs see them in HWCAP and HWCAP2."""

from __future__ import annotations

import pytest

from llm_export.arm.levels import LEVELS

NEON, DOT, I8MM = (level.name for level in LEVELS)


@pytest.mark.parametrize(
    ("hwcap", "hwcap2", "level"),
    [
        (0x8FB, 0, NEON),  # cortex-a53
        (0x119FFB, 0, DOT),  # cortex-a76
        (0xECFFFFFB, 0x77FFF, I8MM),  # max,sme=off
        (0xECFFFFFB, 0x7F877FFF, None),  # max of QEMU 7.2
        (0xECFFFFFB, 0x181, DOT),  # max of QEMU 5.2
    ],
)
def test_a_processor_is_of_one_level_at_most(hwcap: int, hwcap2: int, level: str | None) -> None:
    assert [one.name for one in LEVELS if one.fits(hwcap, hwcap2)] == [level] * (level is not None)
