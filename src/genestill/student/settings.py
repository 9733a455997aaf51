"""What encoders may be, apart from the code that needs torch."""

BACKBONES = ("delta_hybrid", "transformer", "delta")
