"""Stage 1: genomes, communities, contigs, databases and benchmarks are fetched, verified and indexed."""
