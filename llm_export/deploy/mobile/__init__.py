"""What the projects for phones share: the facts that they are made of, and what they refuse."""
