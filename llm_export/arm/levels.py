"""Levels of processor features at which kernels for Arm differ.

XNNPACK chooses its kernels by what the system says of the processor (``AT_HWCAP``): with neither of
the two extensions int8 products take ``SMLAL``, with FEAT_DotProd ``SDOT``, with FEAT_I8MM
``SMMLA``. Bits are those of Linux, Documentation/arch/arm64/elf_hwcaps.rst.
"""

from __future__ import annotations

from dataclasses import dataclass

_DOT_PRODUCT = 1 << 20
_I8MM, _SME = 1 << 13, 1 << 23


@dataclass(frozen=True)
class Level:
    """
    Attributes:
        name: of the features.
        cpus: processors of QEMU that have them, as ``-cpu`` takes them, best first. An emulator
            lacks those that are younger than itself.
        has, lacks: bits of HWCAP.
        has2, lacks2: bits of HWCAP2.
    """

    name: str
    cpus: tuple[str, ...]
    has: int = 0
    lacks: int = 0
    has2: int = 0
    lacks2: int = 0

    def fits(self, hwcap: int, hwcap2: int) -> bool:
        """Whether a processor with these bits is of this level."""
        first = hwcap & (self.has | self.lacks) == self.has
        return first and hwcap2 & (self.has2 | self.lacks2) == self.has2


LEVELS = (
    Level("NEON", ("cortex-a53", "cortex-a57"), lacks=_DOT_PRODUCT, lacks2=_I8MM),
    Level("dot product", ("cortex-a76", "neoverse-n1"), has=_DOT_PRODUCT, lacks2=_I8MM),
    # QEMU 7.2 computes SME's outer products wrongly, and no kernel of a phone needs them.
    Level(
        "int8 matrix product", ("cortex-a710", "neoverse-n2", "neoverse-v1", "max,sme=off", "max"),
        has=_DOT_PRODUCT, has2=_I8MM, lacks2=_SME,
    ),
)  # fmt: skip
