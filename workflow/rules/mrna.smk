# The recipe mrna: transcripts, teacher, students, probes, table. Target: snakemake --cores N mrna
include: "mrna_students.smk"
include: "mrna_evaluation.smk"


localrules:
    mrna,


rule mrna:
    input:
        end_of(
            "mrna",
            f"{MRNA_TABLE}/table.txt",
            f"{MRNA_TABLE}/summary.html",
            f"{MRNA_TABLE}/maps.svg",
            MRNA_RELEASE,
            *TEACHER_ADMISSION,
        ),
