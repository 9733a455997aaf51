"""Run in mrna-bench's own environment: probe given embeddings with that tool's classes and print its metrics.

Usage: python mrnabench_process.py FOLDER, where FOLDER/cases.json lists cases with kind, split and seed, beside
<case>.csv (sequence, gene, chromosome), <case>.npz (features, targets) and homology/human_homology_map.csv.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from mrna_bench.data_splitter.split_catalog import SPLIT_CATALOG
from mrna_bench.linear_probe.evaluator import LinearProbeEvaluator
from mrna_bench.linear_probe.linear_probe import LinearProbe

folder = Path(sys.argv[1])
results = {}
for case in json.loads((folder / "cases.json").read_text()):
    table = pd.read_csv(folder / f"{case['name']}.csv", dtype={"gene": str, "chromosome": str})
    arrays = np.load(folder / f"{case['name']}.npz")
    table["row"] = np.arange(len(table))
    table["target"] = list(arrays["targets"])
    more = {"species": "human", "homology_map_path": str(folder / "homology")} if case["split"] == "homology" else {}
    splitter = SPLIT_CATALOG[case["split"]]((0.7, 0.15, 0.15), **more)
    probe = LinearProbe(
        table, arrays["features"], "target", case["kind"], splitter, LinearProbeEvaluator(case["kind"]), True
    )
    parts = splitter.get_all_splits_df(table.copy(), random_seed=case["seed"])
    results[case["name"]] = {
        "rows": [part["row"].tolist() for part in parts],
        "metrics": {name: float(value) for name, value in probe.run_linear_probe(case["seed"]).items()},
    }
(folder / "results.json").write_text(json.dumps(results))
