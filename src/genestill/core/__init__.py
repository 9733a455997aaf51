"""The core: what all stages use and what uses none of them."""
