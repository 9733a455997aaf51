"""Baselines of sequence tasks, one module each, with ``fit`` for a task; listed in `genestill.evaluation.settings`."""
