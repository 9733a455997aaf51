"""Run in mrna-bench's own environment: embed FOLDER/data_df.parquet with the student in FOLDER by that tool's embedder.

Usage: python mrnabench_adapter_process.py RESOURCES FOLDER; the embeddings are written to FOLDER/found.npy.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, sys.argv[1])
from mrna_bench.embedder import DatasetEmbedder
from mrnabench_adapter import open_student

folder = Path(sys.argv[2])
table = pd.read_parquet(folder / "data_df.parquet")
embedder = DatasetEmbedder.from_dataframe(open_student(folder, name="my-student"), table)
np.save(folder / "found.npy", embedder.embed_dataset().numpy())
