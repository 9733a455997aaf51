"""Linear probes of frozen embeddings, by the protocol of mRNABench."""
