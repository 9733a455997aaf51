"""Names of columns in coverage tables: depths, counts of reads, and other values."""

import re
from pathlib import Path

from genestill.core.text import COMPRESSED
from genestill.reference.text_tables import plain

# Names of columns, in lower case without spaces and punctuation. Depths, in the order of preference.
DEPTHS = (
    "meandepth", "mean", "avgfold", "averagefold", "avgdepth", "averagedepth", "meancoverage", "averagecoverage",
    "avgcoverage", "avgcov", "meancov", "depth", "strobealignaemb", "aemb", "trimmedmean", "coverage", "cov",
    "abundance", "mediandepth", "medianfold", "median", "fpkm", "rpkm", "tpm", "relativeabundance", "readsperbase",
)  # fmt: skip
# Of these, the ones that are relative: they depend on the other contigs or on the number of reads of the sample.
RELATIVE = frozenset({"fpkm", "rpkm", "tpm", "relativeabundance"})
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
# Names that may also be names of samples: not depths only if another column has the name of a depth.
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
    """The sample of a column or alignment file: ``lake`` for ``mapped/lake.sorted.bam``.

    Names without a file suffix are not changed, unless they are known to be file names (``of_file``).
    """
    if not of_file and not name.lower().endswith(_FILE_ENDINGS):
        return name
    name = name.rsplit("/", 1)[-1]
    while name.lower().endswith(_FILE_ENDINGS + _STEP_ENDINGS):
        name = name[: name.rindex(".")]
    return name


def sample_and_measure(name: str) -> tuple[str, str] | None:
    """Split ``lake Trimmed Mean`` into ("lake", "trimmedmean"); None for names that do not end in a measure."""
    for sign in re.finditer(r"[ _.\-]", name):
        sample, measure = name[: sign.start()], plain(name[sign.end() :])
        if sample and (measure in NO_DEPTHS or measure in DEPTHS or measure in COUNTS):
            return sample, measure
    return None


def name_of_file(path: Path) -> str:
    """The name of the only sample of a table that does not name it: ``lake`` for ``mapped/lake.coverage.tsv``."""
    name = path.name
    while name.lower().endswith(_TABLE_ENDINGS):
        name = name[: name.rindex(".")]
    return sample_name(name, of_file=True) or "sample"
