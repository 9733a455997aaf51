"""Baselines of sequence tasks, one module each: ``fit`` a task. `genestill.evaluation.settings` lists them."""
