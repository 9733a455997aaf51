"""The terms of the loss, one module each, with a class ``Loss``. `genestill.core.objectives` lists them."""
