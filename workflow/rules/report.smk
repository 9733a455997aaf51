# The sections of the report. Its page sorts sections, and results in each, by name; the numbers keep this order. A
# result has one label. With two labels, the page makes a switch of a second label with two values ("figure", "table"),
# and is blank if a result has no counterpart for the other value.
def sections(*titles):
    """Title -> name of the section in the report."""
    return {title: f"{number}. {title}" for number, title in enumerate(titles, start=1)}


TAXONOMY_SECTIONS = sections(
    "Answer",
    "Label changes",
    "Composition",
    *(("Accuracy", "Confidence") if TRUTH else ()),
    *(("Novelty",) if TRUTH or WITH_LEDGER else ()),
    "How the run went",
    *(("Representations",) if config["student"]["objective"] == "posterior" else ()),
)
MRNA_SECTIONS = sections("Answer", "Training", "Representations")
DNA_SECTIONS = sections("Answer", "Representations")
BENCHMARK_SECTIONS = sections("Answer", "Accuracy", "New contigs", "Cost")

# Options of the first page of the report for all recipes; each recipe adds further options.
SUMMARY = options(
    recipe=config["recipe"],
    dataset=config["dataset"]["name"],
    configuration=f"{RESULTS}/configuration.yaml",
    logs=f"{RESULTS}/logs",
    citations=str(ROOT / "CITATION.cff"),
)


def downloads(**files):
    """The option with the files for download on the first page of the report, by description."""
    return options(
        download=[
            f"{words.replace('_', ' ')}={file}" for words, file in files.items() if file
        ]
    )
