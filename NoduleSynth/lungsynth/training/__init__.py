"""Training: the loop, checkpoints and curves; what a step does belongs to each recipe."""
