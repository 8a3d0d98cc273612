"""The bundle's format: written, checked and extended here."""
