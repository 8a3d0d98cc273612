"""Share recipes: pack, fetch, check and reproduce them."""
