"""The study on a cluster: submission, containers, and a throw-away Slurm for tests."""
