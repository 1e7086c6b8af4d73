"""Whose a run is: of several processes that work on one run, only the last to start may write."""

import json
import os
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lico.atomic import write_atomically
from lico.errors import SupersededError


@dataclass(frozen=True)
class Claim:
    """One process's claim on a run.

    A scheduler may start a run again while its first process still works, unseen on a node that
    was given up. The newer claim wins; the older process finds out before its next write, and
    the run's files are only ever those of the newest.

    Attributes:
        path: of the file with the newest claim.
        token: this claim's own.
    """

    path: Path
    token: str

    @classmethod
    def take(cls, path: Path) -> "Claim":
        """Claim the run for this process, from whoever has it."""
        claim = cls(path, uuid.uuid4().hex)
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = {
            "token": claim.token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(path, json.dumps(owner).encode())
        return claim

    def check(self) -> None:
        """Make sure that nobody took the run over.

        Raises:
            SupersededError: if somebody did; says who.
        """
        try:
            owner = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return  # the run was finished and tidied up, or never shared
        if owner["token"] != self.token:
            raise SupersededError(
                f"another process has taken this run over (process {owner['process']} on "
                f"{owner['host']}, since {owner['since']}); this one ends, and nothing is lost"
            )
