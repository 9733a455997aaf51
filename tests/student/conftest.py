"""A small corpus for the tests of DNA students."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genestill.core.bpe import train_bpe
from genestill.core.sequences import encode_bases, write_fasta
from genestill.core.table_schemas import token_features
from genestill.core.tables import write_table
from genestill.student.dna.masking import cut_groups
from random_sequences import random_dna

WIDTH = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Windows, features of a teacher with a fixed vector for each 6-mer, a tokenizer, and a task."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(1)
    windows = [(f"w{number}", random_dna(generator, 64)) for number in range(24)]
    write_fasta(folder / "windows.fna", windows)
    known = np.random.default_rng(2).normal(size=(4, 6, WIDTH)).astype(np.float16)
    rows = []
    for name, sequence in windows:
        codes, boundaries = encode_bases(sequence), cut_groups(encode_bases(sequence))
        starts, stops = boundaries[:-1], boundaries[1:]
        features = [
            sum(known[codes[start + place], place].astype(np.float32) for place in range(stop - start)) + 3.0
            for start, stop in zip(starts, stops, strict=True)
        ]
        rows.append((name, starts, stops, np.concatenate(features).astype(np.float16)))
    for shard in (0, 1):
        frame = pd.DataFrame(rows[shard * 12 : shard * 12 + 12], columns=["id", "start", "stop", "features"])
        write_table(folder / f"{shard}.parquet", frame, token_features(WIDTH), {"size": WIDTH, "teacher": "by heart"})
    train_bpe([sequence for _, sequence in windows], 96).save_pretrained(folder / "tokenizer")
    labels = generator.integers(0, 2, 90)
    sequences = [random_dna(generator, 24) if label else "".join(generator.choice(list("AT"), 24)) for label in labels]
    split = ["train"] * 60 + ["test"] * 30
    table = pd.DataFrame({"sequence": sequences, "label": labels, "split": split})
    table.to_csv(folder / "task.tsv", sep="\t", index=False)
    return folder
