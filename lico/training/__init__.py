"""Training: loop, schedule, checkpoint, meters."""
