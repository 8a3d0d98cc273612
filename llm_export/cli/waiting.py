"""Say on a terminal what a verb is busy with; the runtime's command line does it too."""

from runtime_py.cli.waiting import waiting

__all__ = ["waiting"]
