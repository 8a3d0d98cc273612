"""The bundle format: write, verify and extend bundles."""
