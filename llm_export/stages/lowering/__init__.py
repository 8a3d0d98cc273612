"""Helpers of the stages export and lower."""
