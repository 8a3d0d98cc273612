"""What the runtime's command line and this one share."""

from runtime_py.cli.flags import add_adapter, add_sampling, sampling_of
from runtime_py.cli.printing import describe, printable, show

__all__ = ["add_adapter", "add_sampling", "describe", "printable", "sampling_of", "show"]
