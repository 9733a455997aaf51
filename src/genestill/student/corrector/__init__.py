"""The corrector: a light student that corrects the lineages of contigs, for the recipes of taxonomy."""
