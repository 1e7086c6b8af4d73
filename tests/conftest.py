"""The order of the tests."""

import pytest

LONG = ["slurm/test_interruptions", "slurm/test_submission", "image/", "end_to_end/", "launchers/",
        "slurm/"]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that no worker is alone with it in the end."""
    items.sort(
        key=lambda item: next((i for i, x in enumerate(LONG) if x in item.nodeid), len(LONG))
    )
