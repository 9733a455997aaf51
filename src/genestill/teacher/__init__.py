"""Stage 3: a large pretrained model computes embeddings, logits and soft labels of sequences."""
