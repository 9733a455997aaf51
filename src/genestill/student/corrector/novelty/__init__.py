"""Novelty with respect to the reference: shares of a sample and groups of contigs, calibrated by withholding clades."""
