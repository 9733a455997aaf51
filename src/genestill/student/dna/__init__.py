"""Recipes ``had`` and ``seqlens``: DNA encoders that are pretrained, distilled from a k-mer teacher and fine-tuned."""
