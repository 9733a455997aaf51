"""What holds for every test: no network, one thread per process, the longest first."""

import os

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # jobs that start without bytecode compile torch anew

# A machine that is busy with something else is slow, not wrong.
# The same examples every time, or a run would need luck; GENESTILL_FUZZ=2000 pytest tests/safety looks for new ones.
settings.register_profile("any machine", deadline=None, derandomize="GENESTILL_FUZZ" not in os.environ)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A worker takes a whole file; those that run Snakemake are the longest.
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)
