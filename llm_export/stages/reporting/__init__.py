"""Helpers of the stage report."""
