# The recipes had and seqlens: windows, teacher, students, tasks, table. Targets: had, seqlens
include: "dna_common.smk"
include: "dna_students.smk"
include: "dna_evaluation.smk"


wildcard_constraints:
    benchmark_name="[A-Za-z0-9_-]+",
    task="[A-Za-z0-9_-]+",
    model_seed="[0-9]+",


localrules:
    had,
    seqlens,


rule had:
    input:
        f"{DNA_SCORES}/metrics.parquet",
        f"{DNA_SCORES}/table.tsv",
        f"{DNA_SCORES}/scores.svg",
        f"{DNA_SCORES}/tsne.svg",


rule seqlens:
    input:
        rules.had.input,
