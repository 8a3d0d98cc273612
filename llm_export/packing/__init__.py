"""Bundles in one file: a zip archive that is a program file too."""
