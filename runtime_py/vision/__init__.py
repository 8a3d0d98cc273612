"""Run bundles of the task ``see``: images and text in, text out."""
