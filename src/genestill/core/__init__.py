"""The core: modules that all stages use and that import no stage."""
