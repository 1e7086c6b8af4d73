"""The error for a data set that is not there."""

from pathlib import Path


class DataMissingError(Exception):
    """A data set, or a part of it, is not on this machine; the message says how to get it."""

    def __init__(self, name: str, root: Path, lacks: str) -> None:
        super().__init__(
            f"data set {name}: data.root={root} has no {lacks}; "
            f'run "lico data {name}" to see or fetch what it needs, or set data.root'
        )

    def with_steps(self, steps: str) -> "DataMissingError":
        """The same with what a person has to do."""
        if steps:
            self.args = (f"{self.args[0]}\n{steps}",)
        return self
