"""Studies on a Slurm cluster: submission, following, containers, and a private Slurm for tests."""
