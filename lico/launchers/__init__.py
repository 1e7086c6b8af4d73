"""Launchers: run a study here, or on a cluster."""
