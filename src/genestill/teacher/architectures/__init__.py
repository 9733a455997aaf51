"""The architectures of teachers, one module each with an ``ARCHITECTURE``. `genestill.teacher.settings` lists them."""
