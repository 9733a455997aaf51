"""Sources of evidence about contigs, one module each: ``read`` of a table. `settings.EVIDENCE` lists them."""
