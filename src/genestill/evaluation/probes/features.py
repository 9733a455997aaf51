"""Features of baselines, cached on disk by a checksum of their inputs, so that each task is processed once in a run."""

import hashlib
import json
import zipfile
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

import genestill
from genestill.core.files import make_folder, write_aside
from genestill.core.logs import logger
from genestill.evaluation.probes import baselines
from genestill.evaluation.settings import TranscriptBaselineSettings


def baseline_of(name: str):
    """The module of the baseline ``name``."""
    return import_module(f"{baselines.__name__}.{name}")


def describe_task(
    table: pd.DataFrame, settings: TranscriptBaselineSettings, kept: str | Path | None = None
) -> dict[str, np.ndarray]:
    """The blocks of a baseline's features for a task, float32 [rows, size] each.

    Args:
        table: columns of `table_schemas.PROBE_TASK`.
        settings: the baseline.
        kept: folder of cached features. The name of a file is a checksum of the transcripts with their tracks, of the
            settings and of the code of the baselines; a damaged file is made again.
    """
    features = baseline_of(settings.features).features
    if kept is None:
        return features(table, settings)
    # Two baselines with the same features share a file, because the function identifies the features.
    what = [features.__module__, {**asdict(settings), "features": ""}, genestill.__version__, _code()]
    file = Path(kept) / f"{_checksum(table, what)}.npz"
    try:
        # Opened here, because numpy does not close a file that is not an archive.
        with open(file, "rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        pass
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s: cannot be read (%s); the features are computed again", file, error)
    blocks = features(table, settings)
    make_folder(file.parent)
    with write_aside(file) as aside, open(aside, "wb") as output:
        np.savez_compressed(output, **blocks)
    return blocks


def _checksum(table: pd.DataFrame, what: list) -> str:
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for sequence, cds, splice in zip(table["sequence"], table["cds"], table["splice"], strict=True):
        for part in (sequence.encode(), np.asarray(cds, np.int8).tobytes(), np.asarray(splice, np.int8).tobytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(baselines.__path__[0]).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
