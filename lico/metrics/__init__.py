"""Metrics: pure functions of tensors, one number an image; NaN where undefined."""
