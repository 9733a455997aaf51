# The entry point: `snakemake --cores N` in this folder runs the recipe of config/config.yaml.
include: "workflow/Snakefile"


workflow.default_target = "all"
