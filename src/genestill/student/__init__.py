"""Stage 4: a small model is trained on teacher and labels."""
