"""Baselines of probe tasks, one module each, with ``features`` of a task; listed in `genestill.evaluation.settings`."""
