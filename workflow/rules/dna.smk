# The recipes had and seqlens: windows, teacher, students, tasks, table. Targets: had, seqlens
include: "dna_students.smk"
include: "dna_evaluation.smk"


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
