"""Tasks and questions of the evaluation, and their data."""
