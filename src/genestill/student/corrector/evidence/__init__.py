"""Sources of evidence about contigs, one module each with a function ``read``, listed in `settings.EVIDENCE`."""
