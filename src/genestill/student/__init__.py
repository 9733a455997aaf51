"""Stage 4: a small model learns from teacher and labels."""
