"""The source of the runner that computes logits."""
