"""Stage 2: every contig gets a noisy, partial lineage."""
