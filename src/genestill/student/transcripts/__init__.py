"""Distilling a transcript encoder: objectives and training for the recipe ``mrna``."""
