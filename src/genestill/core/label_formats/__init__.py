"""Readers of the label tables of other programs: one module per format, listed in `registry`."""
