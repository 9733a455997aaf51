"""The tally: how many faults of every kind were tried, survived and lost, over all tests of the session."""

import pytest

# Tests elsewhere that try a fault (marked `faults` as well), by file.
KINDS = {
    "test_download.py": "servers that hang, drop, lie or answer 500; cut and wrong downloads",
    "test_downloads.py": "download rules against a failing server",
    "test_fetching.py": "teachers from a hub that fails",
    "test_loading.py": "teacher folders cut, mixed or pickled",
    "test_archive.py": "archives cut, or that would leave their folder",
    "test_shards.py": "shards cut, or with a fallen bit",
    "test_files.py": "leftovers of killed processes",
    "test_pretraining.py": "a loss that is not a number",
    "test_transcript_matching.py": "a loss that is not a number",
    "test_corrector.py": "a loss that is not a number",
}


@pytest.fixture
def tally(record_property):
    """Call it with a kind of fault and the numbers tried and survived."""

    def add(kind: str, tried: int, survived: int) -> None:
        record_property("fault", (kind, tried, survived))

    return add


def pytest_terminal_summary(terminalreporter):
    counts: dict[str, list[int]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            # A file that cannot be imported has a report without keywords.
            if "faults" not in getattr(report, "keywords", {}) or (outcome == "passed" and report.when != "call"):
                continue
            entries = [value for name, value in report.user_properties if name == "fault"]
            passed = int(outcome == "passed")
            file = report.nodeid.partition("::")[0].rpartition("/")[2]
            for kind, tried, survived in entries or [(KINDS.get(file, report.nodeid), 1, passed)]:
                count = counts.setdefault(kind, [0, 0])
                count[0] += tried
                count[1] += survived if passed or entries else 0
    if not counts:
        return
    terminalreporter.section("faults")
    rows = [*counts.items(), ("in all", [sum(column) for column in zip(*counts.values(), strict=True)])]
    terminalreporter.write_line(f"{'tried':>6} {'survived':>9} {'lost':>5}  fault")
    for kind, (tried, survived) in rows:
        terminalreporter.write_line(f"{tried:>6} {survived:>9} {tried - survived:>5}  {kind}")
