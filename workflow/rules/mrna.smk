# The recipe mrna: transcripts, teacher, students, probes, table. Target: snakemake --cores N mrna
include: "mrna_common.smk"
include: "mrna_students.smk"
include: "mrna_evaluation.smk"


wildcard_constraints:
    student="[A-Za-z0-9_-]+",
    match_seed="[0-9]+",
    what="embeddings|tokens|base-log-probabilities",


localrules:
    mrna,


rule mrna:
    input:
        f"{MRNA_TABLE}/table.txt",
        f"{MRNA_TABLE}/maps.svg",
        MRNA_RELEASE,
