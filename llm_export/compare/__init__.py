"""What two bundles, or two saved results of runs, have in common and in what they differ."""
