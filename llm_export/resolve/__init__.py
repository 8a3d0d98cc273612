"""What follows from a recipe, worked out once."""
