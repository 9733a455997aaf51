"""Stage 5: benchmarks, metrics, figures, tables and the report."""
