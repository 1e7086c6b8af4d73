"""Post-hoc saliency maps."""
