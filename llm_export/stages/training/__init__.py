"""Short fine-tuning: loop, losses and checkpoints. Independent of stages and recipes."""
