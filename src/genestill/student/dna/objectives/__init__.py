"""The terms of the loss, one module each, with a class ``Loss``. They are listed in `genestill.core.objectives`."""
