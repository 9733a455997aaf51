"""The terms of the loss, one module each with a function ``loss``. They are listed in `genestill.core.objectives`."""
