"""A template engine in JavaScript that checks run; see README.md."""
