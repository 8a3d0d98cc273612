"""Models of the task ``embed``: a text's tokens to one vector."""
