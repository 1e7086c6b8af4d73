"""LICO-HPC: a reproducible study of language-image consistency training."""
