"""Helpers of the stage evaluate."""
