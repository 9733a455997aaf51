# The text at the end of a run: the table of results of its recipe, paths of results, and the command for the report.
def answer():
    table, places = {
        "taxdistill": (
            f"{EVALUATION}/table.txt",
            {"predictions": f"{RESULTS}/student/{STUDENT_NAME}/export/predictions.tsv"},
        ),
        "mrna": (f"{MRNA_TABLE}/table.txt", {"student": MRNA_RELEASE}),
        "had": (f"{DNA_SCORES}/table.txt", {"students": f"{RESULTS}/student"}),
        "seqlens": (f"{DNA_SCORES}/table.txt", {"students": f"{RESULTS}/student"}),
    }[target_of(config["recipe"])]
    if config["benchmark"]["communities"]:
        table, places = f"{RESULTS}/evaluation/table.txt", {}
    given = [f"--configfile {file}" for file in workflow.overwrite_configfiles]
    drawn_by = " ".join(["snakemake", *given, f"--report {RESULTS}/report.zip"])
    # Shares of samples that the reference lacks, if this run estimated them.
    sentence = f"{EVALUATION}/novelty/table.txt" if not places or WITH_LEDGER else None
    return format_answer(table, places, drawn_by, sentence)
