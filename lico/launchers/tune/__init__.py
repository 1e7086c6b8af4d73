"""Run a study as trials of Ray Tune."""
