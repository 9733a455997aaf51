"""Sequence classification by DNA models: Nucleotide Transformer tasks, Genomic Benchmarks, GUE, local tables."""
