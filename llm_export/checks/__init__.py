"""Checks before a run: rules across config groups, backends, and the machine."""
