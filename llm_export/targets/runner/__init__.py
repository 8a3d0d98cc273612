"""The source of a runner that is compiled for a device."""
