"""Distil large genomic foundation models into small ones, and measure what the small ones kept."""

__version__ = "0.2.0"
