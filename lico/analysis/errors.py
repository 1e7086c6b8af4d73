"""What can go wrong when results are turned into tables."""


class AnalysisError(ValueError):
    """A table or a folder that there is not; the message names what there is."""
