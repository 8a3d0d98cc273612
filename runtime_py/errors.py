"""What can go wrong with a bundle, for people."""

from __future__ import annotations


class BundleRuntimeError(Exception):
    """A bundle cannot be loaded or asked for what it cannot do: what, where, fix."""

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  where: {self.where}"] if self.where else []
        lines += [f"  fix:   {self.fix}"] if self.fix else []
        return "\n".join(lines)
