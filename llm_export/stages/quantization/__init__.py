"""Helpers of the stages transform and quantize."""
