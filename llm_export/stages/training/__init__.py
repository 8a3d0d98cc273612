"""Short fine-tuning: a loop, its losses and its checkpoints. Knows no stage and no recipe."""
