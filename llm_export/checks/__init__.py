"""Rules across groups and everything else that is checked before work."""
