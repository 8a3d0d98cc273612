"""Helpers of the stage verify."""
