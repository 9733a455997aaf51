"""The terms of the loss, one module each: ``loss`` of a batch. `genestill.core.objectives` lists them."""
