"""Distilling a transcript encoder: objectives and the training loop of the ``mrna`` recipe."""
