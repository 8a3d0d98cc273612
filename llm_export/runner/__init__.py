"""Walks the table of stages; measures, records, shows progress and wraps failures."""
