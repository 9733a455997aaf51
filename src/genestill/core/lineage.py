"""Seven-rank lineages, in the spellings that the field uses.

A lineage is a tuple of seven names from domain to species, ``None`` below the assigned rank. Nodes of the taxonomy
are known by their whole path, never by their name alone: homonyms are common (a genus *Bacillus* of insects).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

from genestill.core.errors import InputError

RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
RANK_PREFIXES = "dpcofgs"
# The words of taxonomy dumps. NCBI renamed superkingdom to domain in 2025; viruses have no domain, so the highest of
# their nodes stands for it: "acellular root" (Viruses), or a realm where a dump has nothing above realms.
RANK_OF_NAME = {rank: index for index, rank in enumerate(RANKS)} | {"superkingdom": 0, "acellular root": 0, "realm": 0}

Lineage = tuple[str | None, ...]
NO_LINEAGE: Lineage = (None,) * len(RANKS)

# What tables write where a name is missing; compared in lower case with blanks for underscores.
_NO_NAME = frozenset(
    [
        *("-", "?", ".", "na", "n/a", "nan", "none", "null", "unknown", "undetermined", "unidentified", "uncultured"),
        *("unassigned", "unclassified", "not assigned", "not classified", "no hits", "no rank", "no support"),
        *("ambiguous", "ambiguous taxa", "incertae sedis", "metagenome", "unidentified bacterium"),
        *("uncultured bacterium", "uncultured archaeon", "uncultured organism", "uncultured prokaryote"),
    ]
)
# What stands above the domain in whole paths: NCBI's root and its child, MEGAN's name for the root.
_ABOVE = frozenset({"root", "cellular organisms", "cellular root", "ncbi", "life"})
_DOMAINS = ("Bacteria", "Archaea", "Eukaryota", "Viruses")
# The domain of NCBI's kingdoms and realms, for lineages that begin with one of these.
_DOMAIN_OF = {
    **dict.fromkeys(("Fungi", "Metazoa", "Viridiplantae"), "Eukaryota"),
    **dict.fromkeys(("Bacillati", "Fusobacteriati", "Pseudomonadati", "Thermotogati"), "Bacteria"),
    **dict.fromkeys(("Methanobacteriati", "Nanobdellati", "Promethearchaeati", "Thermoproteati"), "Archaea"),
    **dict.fromkeys(("Adnaviria", "Duplodnaviria", "Monodnaviria", "Riboviria", "Ribozyviria"), "Viruses"),
    **dict.fromkeys(("Singelaviria", "Varidnaviria", "Abadenavirae", "Bamfordvirae", "Helvetiavirae"), "Viruses"),
    **dict.fromkeys(("Heunggongvirae", "Loebvirae", "Orthornavirae", "Pararnavirae", "Sangervirae"), "Viruses"),
    **dict.fromkeys(("Shotokuvirae", "Trapavirae", "Zilligvirae"), "Viruses"),
}
# d__, p__, sk__, D_0__ (SILVA), d_ and -_ (MMseqs2), [D] and [SK] (MEGAN).
_PREFIX = re.compile(r"(?:([A-Za-z-]|sk)__|D_([0-6])__|([dpcofgskr-]|sk)_|\[(SK|[A-Z])\] *)(.*)", re.DOTALL)
_SEPARATORS = str.maketrans({";": ",", "|": "/", "\t": " ", "\n": " ", "\r": " "})


def depth(lineage: Lineage) -> int:
    """How many ranks are assigned: 0 (nothing) to 7 (species)."""
    return next((index for index, name in enumerate(lineage) if name is None), len(RANKS))


def named(lineage: Lineage) -> tuple[str, ...]:
    """The names of the ranks that are assigned."""
    return cast(tuple[str, ...], lineage[: depth(lineage)])


def clean_name(text: str, rank: int | None = None) -> str:
    """A taxon's name as it stands everywhere in a run: no separators of lineages, no quotes around it, no prefix.

    ``;`` becomes ``,`` and ``|`` becomes ``/``, since lineages are written with them. With ``rank`` (0 to 6), a prefix
    that repeats the rank is removed: taxonomy dumps of GTDB exist whose name of *Bacteria* is ``d__Bacteria``.
    """
    name = text.strip()
    if len(name) > 1 and name[0] == name[-1] == '"' and '"' not in name[1:-1]:
        name = name[1:-1].strip()
    if rank is not None:
        for prefix in ("d__", "k__", "sk__", "r__") if rank == 0 else (f"{RANK_PREFIXES[rank]}__",):
            while name.startswith(prefix):
                name = name.removeprefix(prefix).strip()
    return name.translate(_SEPARATORS).strip()


def is_named(name: str | None) -> bool:
    """Whether ``name`` is a name, not one of the words that tables write where a name is missing.

    Such words are ``NA``, ``unclassified``, ``Unassigned``, ``uncultured``, and the fillers ``uc_Bacillota`` (MMseqs2),
    ``unclassified Bacillota`` and ``Bacillota_unclassified``.
    """
    word = (name or "").lower().replace("_", " ").strip()
    return not (
        not word or word in _NO_NAME or word.startswith(("uc ", "unclassified ")) or word.endswith(" unclassified")
    )


def spelling_key(name: str) -> str:
    """What two spellings of one name share: MMseqs2's GTDB database has blanks for underscores (*Bacillota A*)."""
    return name.replace("_", " ")


@lru_cache(maxsize=1 << 16)  # many contigs share a lineage: it is held once, not once per contig
def parse_lineage(text: str | None) -> Lineage:
    """Read ``d__Bacteria;p__…`` (GTDB), ``d_Bacteria;-_x;p_…`` (MMseqs2) or ``Bacteria;Bacillota;…`` (Taxometer).

    Also read are ``k__`` and ``sk__`` (the domain where no ``d__`` stands), ``r__`` (realm), SILVA's ``D_0__``, MEGAN's
    ``[P]``, and ``|`` in place of ``;``. ``root`` and ``cellular organisms`` in front are left out, as are entries of
    other ranks. Words such as ``NA`` and ``unclassified`` are no names (see `is_named`); missing ranks between assigned
    ones are filled (see `fill_gaps`). Raises `InputError` for more than seven names without prefix, names without
    prefix that are no seven ranks, a rank given twice, and ranks out of order.
    """
    text = (text or "").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    parts = [part.strip() for part in text.rstrip("; ").split(";" if ";" in text else "|")]
    while parts and parts[0].removeprefix("-_").lower() in _ABOVE:
        parts = parts[1:]
    found = [_split_prefix(part) for part in parts]
    if all(prefix is None for prefix, _ in found):
        return _by_position(parts, text)
    names: list[str | None] = [None] * len(RANKS)
    above: dict[str, str] = {}
    last = -1
    for part, (prefix, name) in zip(parts, found, strict=True):
        if prefix is None:
            if is_named(part):
                raise InputError(f"lineage {text!r} mixes prefixed and plain names ({part!r} has no rank prefix)")
            continue
        if prefix not in RANK_PREFIXES:
            if prefix in "kr-" and is_named(name):
                above.setdefault(prefix, name)
                if prefix == "-" and name in _DOMAINS:
                    above["domain"] = name  # MMseqs2 does not know the rank "domain" and writes -_Bacteria
            continue
        rank = RANK_PREFIXES.index(prefix)
        if rank <= last:
            raise InputError(
                f"lineage {text!r} gives {RANKS[rank]} twice or out of order; expected {' > '.join(RANKS)}"
            )
        last = rank
        names[rank] = clean_name(name, rank)
    if not is_named(names[0]):
        names[0] = above.get("domain") or _top_of(above)
    return fill_gaps(_names(names))


def _top_of(above: dict[str, str]) -> str | None:
    """The domain of a lineage without one, by its realm or kingdom."""
    names = [clean_name(above[prefix], 0) for prefix in "rk" if prefix in above]
    return next((_DOMAIN_OF[name] for name in names if name in _DOMAIN_OF), names[0] if names else None)


def _by_position(parts: list[str], text: str) -> Lineage:
    """A lineage of plain names: the first is the domain, the seventh the species."""
    if parts and parts[0] in _DOMAIN_OF:
        parts = [_DOMAIN_OF[parts[0]], *parts[1:]]
    if len(parts) > len(RANKS):
        raise InputError(
            f"lineage {text!r} has {len(parts)} ranks; expected at most {len(RANKS)} ({', '.join(RANKS)}), or a prefix "
            "such as p__ before each name"
        )
    # A whole path of NCBI also names what has no rank; where such a name stands, those after it are not in their place.
    strange = next((part for part in parts[1:] if part in _DOMAIN_OF or part.endswith(" group")), None)
    if strange is not None:
        raise InputError(
            f"lineage {text!r} has {strange!r}, which is not one of the ranks {', '.join(RANKS)}, and no prefixes for "
            "the ranks of its names; give a prefix such as p__ before each name, or taxids"
        )
    names = _names([clean_name(part, rank) for rank, part in enumerate(parts)])
    return fill_gaps(names + [None] * (len(RANKS) - len(parts)))


def _split_prefix(part: str) -> tuple[str | None, str]:
    """The letter of the rank and the name; None and the whole part if it has no prefix."""
    match = _PREFIX.fullmatch(part)
    if match is None:
        return None, part
    double, silva, single, bracket, name = match.groups()
    prefix = RANK_PREFIXES[int(silva)] if silva else (double or single or bracket).lower()
    if prefix == "sk" or (bracket == "K"):  # MEGAN writes the domain as [SK], older releases as [K]
        prefix = "d"
    return prefix, name.strip()


def lineage_of_ranks(cells: Sequence[str]) -> Lineage:
    """The lineage that stands in seven cells, one per rank; with or without prefixes, and with words for no name."""
    names = _names([clean_name(cell, rank) for rank, cell in enumerate(cells)])
    domain = names[0] and _DOMAIN_OF.get(names[0], names[0])
    return fill_gaps([domain, *names[1:]])


def _names(words: Iterable[str | None]) -> list[str | None]:
    """``words`` with None for those that are no names; see `is_named`."""
    return [word if is_named(word) else None for word in words]


def fill_gaps(names: Sequence[str | None]) -> Lineage:
    """Fill unnamed ranks above the deepest named one, so that a path has no holes.

    A hole below *Gammaproteobacteria* at rank order becomes ``Gammaproteobacteria order incertae sedis``: the
    same hole under the same parent gets the same name, whatever lies below it.
    """
    filled: list[str | None] = list(names)
    deepest = max((index for index, name in enumerate(filled) if name), default=-1)
    for index in range(deepest + 1):
        if not filled[index]:
            above = (filled[index - 1] or "").split(f" {RANKS[index - 1]} incertae sedis")[0] if index else "unplaced"
            filled[index] = f"{above} {RANKS[index]} incertae sedis"
    return tuple(name or None for name in filled)


def format_lineage(lineage: Lineage) -> str:
    """``d__…;p__…`` down to the deepest assigned rank; the empty string for no lineage."""
    return ";".join(f"{prefix}__{name}" for prefix, name in zip(RANK_PREFIXES, named(lineage), strict=False))


def read_formatted(text: str) -> Lineage:
    """Read what `format_lineage` wrote, word for word: names of a taxonomy stay, whatever they are."""
    names = [part[3:] for part in text.split(";")] if text else []
    expected = ";".join(f"{prefix}__{name}" for prefix, name in zip(RANK_PREFIXES, names, strict=False))
    if expected != text or not all(names):
        raise InputError(f"lineage {text!r}; expected d__…;p__… with no rank left out")
    return (*names, *NO_LINEAGE[len(names) :])


def is_filled(name: str | None, rank: int) -> bool:
    """Whether `fill_gaps` made this name of the rank (0 to 6)."""
    return name is not None and name.endswith(f" {RANKS[rank]} incertae sedis")


def common_lineage(lineages: Iterable[Lineage]) -> Lineage:
    """The lowest common ancestor: the longest path that all ``lineages`` share."""
    shared: list[str | None] = []
    for names in zip(*lineages, strict=True):
        if names[0] is None or any(name != names[0] for name in names):
            break
        shared.append(names[0])
    return tuple(shared + [None] * (len(RANKS) - len(shared)))


def refuse_two_parents(lineages: Iterable[Lineage], source: str) -> int:
    """Raise `InputError`, naming ``source``, if a name stands under two parents; return the number of homonyms.

    Legal homonyms are genera and species of different phyla (*Morus* is a bird and a tree): the codes of nomenclature
    are independent of each other, but each allows a name once. Anything else is a mistake in the table.
    """
    genus = RANKS.index("genus")
    first: dict[tuple, Lineage] = {}
    homonyms: dict[tuple[int, str], set] = {}
    for lineage in lineages:
        for rank in range(1, depth(lineage)):
            name = lineage[rank]
            scope = lineage[:2] if rank >= genus else ()
            before = first.setdefault((rank, name, scope), lineage)
            if before[:rank] != lineage[:rank]:
                raise InputError(
                    f"{source}: the {RANKS[rank]} {name!r} has two parents: {format_lineage(before[: rank + 1])} "
                    f"and {format_lineage(lineage[: rank + 1])}"
                )
            if scope and name:
                homonyms.setdefault((rank, name), set()).add(scope)
    return sum(len(phyla) > 1 for phyla in homonyms.values())


def require_two_species(number: int, source: str, among: str) -> None:
    """Raise `InputError`, naming ``source``, if only ``number`` < 2 species are ``among`` something."""
    if number < 2:
        raise InputError(f"{source}: {number} species among {among}; expected at least 2")


def count_unknown_names(lineages: Iterable[Lineage], known: Iterable[Lineage], source: str, reference: str) -> int:
    """How many names of ``lineages`` below the domain are not among those of ``known``, in any spelling.

    Raises `InputError`, naming ``source`` and ``reference``, if there are such names and none is known: the two follow
    different taxonomies or spellings, and nothing of one can be compared with the other.
    """
    names = _names_below_domain(lineages)
    among = _names_below_domain(known)
    unknown = names.keys() - among.keys()
    if names and among and len(unknown) == len(names):
        raise InputError(
            f"{source}: none of its {len(names)} names below the domain (first: {next(iter(names.values()))!r}) is "
            f"among the {len(among)} of {reference} (first: {next(iter(among.values()))!r}); expected names of one "
            "taxonomy"
        )
    return len(unknown)


def _names_below_domain(lineages: Iterable[Lineage]) -> dict[tuple[int, str], str]:
    """(rank, `spelling_key`) -> name."""
    return {
        (rank, spelling_key(name)): name
        for lineage in dict.fromkeys(lineages)
        for rank, name in list(enumerate(named(lineage)))[1:]
        if not name.endswith("incertae sedis")
    }
