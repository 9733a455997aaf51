"""What the reference lacks: shares of a sample and groups of contigs, calibrated by clades that are withheld."""
