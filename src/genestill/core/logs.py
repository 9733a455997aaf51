"""Log lines for files, and a progress bar for terminals."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from tqdm import tqdm

logger = logging.getLogger("genestill")

SECONDS_BETWEEN_LOG_LINES = 30.0


def configure_logging(quiet: bool = False) -> None:
    """Write log lines with time and level to standard error."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )


def log_counts(doing: str, counts: dict[str, int]) -> None:
    """Log one line with all counts: ``labels: 12 contigs, 3 unlabelled``."""
    logger.info("%s: %s", doing, ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items()))


def progress(
    items: Iterable, total: int | None, unit: str, doing: str, detail: Callable[[], str] | None = None
) -> Iterator:
    """Yield ``items``; on a terminal, show a bar with rate and remaining time, otherwise log a line every 30 seconds.

    ``detail`` returns a text for the end of the line, such as the loss.
    """
    if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
        yield from tqdm(items, total=total, unit=unit, desc=doing, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LOG_LINES:
            last = now
            rate = done / (now - start)
            left = f", {(total - done) / rate:.0f} s left" if total else ""
            more = f", {detail()}" if detail and detail() else ""
            logger.info(
                "%s: %d%s %s, %.3g %s/s%s%s", doing, done, f" of {total}" if total else "", unit, rate, unit, left, more
            )
