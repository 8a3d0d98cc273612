"""Recipes: choices only."""
