"""Classifiers of contigs that a user would pick instead of the corrector, each an entry of `registry.PEERS`."""
