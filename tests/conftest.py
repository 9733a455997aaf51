"""What holds for every test: no network, one thread a process, one worker for everything that runs Snakemake here."""

import os

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # jobs that start without bytecode compile torch anew

# A machine that is busy with something else is slow, not wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Snakemake locks its folder, and the demo that these tests share is run once: one worker takes them all,
    # and takes them first, for they are the longest.
    for item in items:
        if item.get_closest_marker("workflow"):
            item.add_marker(pytest.mark.xdist_group("workflow"))
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)
