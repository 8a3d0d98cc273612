"""Recipes that go from one person to another: packed, fetched, made again, and checked."""
