"""Choices for encoders, in a module that does not import torch."""

BACKBONES = ("delta_hybrid", "transformer", "delta")
