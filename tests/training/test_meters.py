"""Energy inside a Slurm job on a machine without Slurm's programs, as in a container."""

import os
import subprocess
import sys
from pathlib import Path

METER = """
from lico.training.meters import EnergyMeter
with EnergyMeter("NLD") as meter:
    meter.start()
    sum(range(10**6))
    print(meter.stop().kwh >= 0)
import os
print(os.environ["SLURM_JOB_ID"])
"""


def test_a_job_without_scontrol_is_measured_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", METER],
        env=os.environ | {"SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "PATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "True\n7\n"
