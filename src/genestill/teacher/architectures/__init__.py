"""Architectures of teachers, one module each with an ``ARCHITECTURE``, listed in `genestill.teacher.settings`."""
