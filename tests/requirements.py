"""What a test needs of the machine: a visible skip where it is missing, a failure in CI."""

import os

import pytest


def require(name: str, missing: str | None) -> None:
    """Stop the test, or the tests of a module, if something is missing.

    Args:
        name: of the requirement; LICO_REQUIRE lists those whose absence is a failure, for example
            "slurm image" in continuous integration.
        missing: what is missing and how to get it; None if nothing is.
    """
    if missing is None:
        return
    if name in os.environ.get("LICO_REQUIRE", "").split():
        pytest.fail(f"LICO_REQUIRE demands {name}: {missing}")
    pytest.skip(missing, allow_module_level=True)
