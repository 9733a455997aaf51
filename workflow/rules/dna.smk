# The recipes had and seqlens: windows, teacher, students, tasks, table. Targets: had, seqlens
include: "dna_students.smk"
include: "dna_evaluation.smk"


localrules:
    had,
    seqlens,


DNA_END = multiext(
    f"{DNA_SCORES}/",
    "metrics.parquet",
    "table.txt",
    "summary.html",
    "table.tsv",
    "answers.tsv",
    "scores.svg",
    *(["tsne.svg"] if DNA_ENCODERS else []),
)


rule had:
    input:
        end_of("had", *DNA_END, *TEACHER_ADMISSION),


rule seqlens:
    input:
        end_of("seqlens", *DNA_END, *TEACHER_ADMISSION),
