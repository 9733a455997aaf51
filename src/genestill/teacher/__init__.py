"""Stage 3: a large pretrained model turns sequences into embeddings, logits and soft labels."""
