"""Runs the stages: measures, records, shows progress and converts errors."""
