"""`python -m slurm`."""

from slurm.cli import main

main()
