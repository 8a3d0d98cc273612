"""Resolve a recipe: derive everything that it leaves to defaults, once."""
