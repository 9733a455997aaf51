# The front door: `snakemake --cores N` from here runs the recipe of config/config.yaml.
include: "workflow/Snakefile"


workflow.default_target = "all"
