"""Classifiers of contigs that could be used instead of the corrector, listed in `registry.PEERS`."""
