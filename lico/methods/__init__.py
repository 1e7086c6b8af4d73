"""What one training step computes, for each method."""
