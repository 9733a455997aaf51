"""Baselines of probe tasks, one module each: ``features`` of a task. `genestill.evaluation.settings` lists them."""
