"""Search over options and values of a recipe, for the best by measured objectives."""
