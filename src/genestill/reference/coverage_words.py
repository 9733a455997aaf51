"""What the columns of coverage tables are called: depths, counts of reads, and what is no depth."""

import re
from pathlib import Path

from genestill.core.text import COMPRESSED
from genestill.reference.text_tables import plain

# A column's name without its case, blanks and signs -> what it measures. Depths first, the ones to prefer foremost.
DEPTHS = (
    "meandepth", "mean", "avgfold", "averagefold", "avgdepth", "averagedepth", "meancoverage", "averagecoverage",
    "avgcoverage", "avgcov", "meancov", "depth", "strobealignaemb", "aemb", "trimmedmean", "coverage", "cov",
    "abundance", "mediandepth", "medianfold", "median", "fpkm", "rpkm", "tpm", "relativeabundance", "readsperbase",
)  # fmt: skip
COUNTS = (
    "readcount", "numreads", "mappedreads", "mapped", "reads", "nreads", "count", "counts", "estcounts",
    "expectedcount",
)  # fmt: skip
LENGTHS = ("contiglen", "contiglength", "length", "len", "seqlen", "seqlength", "sequencelength", "endpos", "lengthbp")
NO_DEPTHS = {
    **dict.fromkeys((*LENGTHS, "efflength", "effectivelength"), "length"),
    **dict.fromkeys(("total", "totalavgdepth", "totaldepth", "totalcoverage", "sum", "totalbases"), "total"),
    **dict.fromkeys(("var", "variance", "std", "stdev", "stddev", "sd", "standarddeviation"), "variance"),
    **dict.fromkeys(
        ("covbases", "coveredbases", "coveredfraction", "coveredpercent", "percentcovered", "breadth"),
        "covered bases",
    ),
    **dict.fromkeys(("startpos",), "position"),
    **dict.fromkeys(("gc", "refgc", "readgc", "gccontent"), "GC"),
    **dict.fromkeys(("meanbaseq", "meanmapq"), "quality"),
    **dict.fromkeys(("plusreads", "minusreads", "unmapped", "unmappedreads"), "part of the reads"),
}  # fmt: skip
# Names that a sample may have as well: no depths only where another column is called a depth.
NO_DEPTHS_BESIDE_DEPTHS = {
    **dict.fromkeys(("size", "bp"), "length"),
    **dict.fromkeys(("bases",), "total"),
    **dict.fromkeys(("start", "end", "strand"), "position"),
    **dict.fromkeys(("min", "max", "minimum", "maximum"), "extreme"),
    **dict.fromkeys(("frags",), "part of the reads"),
    **dict.fromkeys(("circ", "repeat", "mult", "altgroup", "graphpath"), "property of the assembly"),
}
_FILE_ENDINGS = (".bam", ".cram", ".sam", ".paf", ".fastq", ".fq", *COMPRESSED)
_STEP_ENDINGS = (".sorted", ".sort", ".srt", ".markdup", ".dedup", ".rmdup", ".filtered")
_TABLE_ENDINGS = (*COMPRESSED, ".tsv", ".txt", ".csv", ".tab", ".bed", ".summary", ".regions", ".mosdepth", ".per-base",
                  ".coverage", ".cov", ".depth", ".idxstats", ".covstats", ".sf")  # fmt: skip


def sample_name(name: str, of_file: bool = False) -> str:
    """The sample of a column or file of alignments: ``mapped/lake.sorted.bam`` is ``lake``.

    Names that have no ending of a file stay as they are, unless it is known that they come from one (``of_file``).
    """
    if not of_file and not name.lower().endswith(_FILE_ENDINGS):
        return name
    name = name.rsplit("/", 1)[-1]
    while name.lower().endswith(_FILE_ENDINGS + _STEP_ENDINGS):
        name = name[: name.rindex(".")]
    return name


def sample_and_measure(name: str) -> tuple[str, str] | None:
    """``lake Trimmed Mean`` as ("lake", "trimmedmean"); None for names that end in no measure."""
    for sign in re.finditer(r"[ _.\-]", name):
        sample, measure = name[: sign.start()], plain(name[sign.end() :])
        if sample and (measure in NO_DEPTHS or measure in DEPTHS or measure in COUNTS):
            return sample, measure
    return None


def name_of_file(path: Path) -> str:
    """The sample of a table that holds a single one and does not name it: ``mapped/lake.coverage.tsv`` is ``lake``."""
    name = path.name
    while name.lower().endswith(_TABLE_ENDINGS):
        name = name[: name.rindex(".")]
    return sample_name(name, of_file=True) or "sample"
