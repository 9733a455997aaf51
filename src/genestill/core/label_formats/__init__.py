"""Tables of labels as other programs write them: one module per format, listed in `registry`."""
