"""The loss terms of the study: pure functions of tensors."""
