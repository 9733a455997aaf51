"""Distil large genomic foundation models into small ones, and measure how much of their performance is kept."""

__version__ = "0.2.0"
