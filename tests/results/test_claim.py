"""Of several processes on one run only the last to start may write."""

import json
import os
from pathlib import Path

import pytest

from lico.errors import SupersededError
from lico.results.claim import Claim


def test_the_newest_claim_wins_and_the_older_says_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "work" / "claim.json"
    first = Claim.take(path)
    first.check()
    second = Claim.take(path)
    with pytest.raises(SupersededError, match=f"process {os.getpid()} on "):
        first.check()
    second.check()


def test_a_claim_that_is_gone_or_cut_off_stops_nobody(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "claim.json")
    claim.path.write_text("{")
    claim.check()
    claim.path.unlink()
    claim.check()


def test_a_claim_names_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    claim = Claim.take(tmp_path / "claim.json")
    assert json.loads(claim.path.read_text())["job"] == "77"
