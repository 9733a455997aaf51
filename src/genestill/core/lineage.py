"""Seven-rank lineages, in the spellings of common tools.

A lineage is a tuple of seven names from domain to species, ``None`` below the assigned rank. Nodes of the taxonomy
are identified by their whole path and not by their name, because homonyms are common (*Bacillus* is also a genus of
insects).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import cast

from genestill.core.errors import InputError

RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
RANK_PREFIXES = "dpcofgs"
# The ranks in taxonomy dumps. NCBI renamed superkingdom to domain in 2025. Viruses have no domain, so their highest
# node is used instead: "acellular root" (Viruses), or a realm in a dump without nodes above realms.
RANK_OF_NAME = {rank: index for index, rank in enumerate(RANKS)} | {"superkingdom": 0, "acellular root": 0, "realm": 0}

Lineage = tuple[str | None, ...]
NO_LINEAGE: Lineage = (None,) * len(RANKS)

# Words for a missing name; compared in lower case, with underscores replaced by spaces.
_NO_NAME = frozenset(
    [
        *("-", "?", ".", "na", "n/a", "nan", "none", "null", "unknown", "undetermined", "unidentified", "uncultured"),
        *("unassigned", "unclassified", "not assigned", "not classified", "no hits", "no rank", "no support"),
        *("ambiguous", "ambiguous taxa", "incertae sedis", "metagenome", "unidentified bacterium"),
        *("uncultured bacterium", "uncultured archaeon", "uncultured organism", "uncultured prokaryote"),
    ]
)
# Nodes above the domain in whole paths: the root of NCBI and its child, and MEGAN's name of the root.
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
    """The number of assigned ranks: 0 (none) to 7 (species)."""
    return next((index for index, name in enumerate(lineage) if name is None), len(RANKS))


def named(lineage: Lineage) -> tuple[str, ...]:
    """The names of the assigned ranks."""
    return cast(tuple[str, ...], lineage[: depth(lineage)])


def clean_name(text: str, rank: int | None = None) -> str:
    """Clean a taxon's name, as used everywhere in a run: no lineage separators, no surrounding quotes, no prefix.

    ``;`` becomes ``,`` and ``|`` becomes ``/``, because lineages are written with them. With ``rank`` (0 to 6), a
    prefix of this rank is removed: some taxonomy dumps of GTDB have ``d__Bacteria`` as the name of *Bacteria*.
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
    """Whether ``name`` is a name, and not one of the words for a missing name.

    Such words are ``NA``, ``unclassified``, ``Unassigned``, ``uncultured``, and placeholders such as ``uc_Bacillota``
    (MMseqs2), ``unclassified Bacillota`` and ``Bacillota_unclassified``.
    """
    word = (name or "").lower().replace("_", " ").strip()
    return not (
        not word or word in _NO_NAME or word.startswith(("uc ", "unclassified ")) or word.endswith(" unclassified")
    )


def spelling_key(name: str) -> str:
    """A key that is the same for all spellings of a name: MMseqs2's GTDB has spaces for underscores (*Bacillota A*)."""
    return name.replace("_", " ")


@lru_cache(maxsize=1 << 16)  # many contigs share a lineage; it is stored once, not once per contig
def parse_lineage(text: str | None) -> Lineage:
    """Read ``d__Bacteria;p__…`` (GTDB), ``d_Bacteria;-_x;p_…`` (MMseqs2) or ``Bacteria;Bacillota;…`` (Taxometer).

    Also accepted are ``k__`` and ``sk__`` (the domain if there is no ``d__``), ``r__`` (realm), ``D_0__`` of SILVA,
    ``[P]`` of MEGAN, and ``|`` instead of ``;``. ``root`` and ``cellular organisms`` at the start are left out, and so
    are entries of other ranks. Words such as ``NA`` and ``unclassified`` count as missing names (see `is_named`);
    missing ranks between assigned ones are filled (see `fill_gaps`). Raises `InputError` for more than seven names
    without prefixes, names without prefixes that are not the seven ranks, a rank given twice, and ranks in the wrong
    order.
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
                    above["domain"] = name  # MMseqs2 has no rank "domain" and writes -_Bacteria
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
    """The domain of a lineage without one, from its realm or kingdom."""
    names = [clean_name(above[prefix], 0) for prefix in "rk" if prefix in above]
    return next((_DOMAIN_OF[name] for name in names if name in _DOMAIN_OF), names[0] if names else None)


def _by_position(parts: list[str], text: str) -> Lineage:
    """A lineage from names without prefixes: the first is the domain, the seventh the species."""
    if parts and parts[0] in _DOMAIN_OF:
        parts = [_DOMAIN_OF[parts[0]], *parts[1:]]
    if len(parts) > len(RANKS):
        raise InputError(
            f"lineage {text!r} has {len(parts)} ranks; expected at most {len(RANKS)} ({', '.join(RANKS)}), or a prefix "
            "such as p__ before each name"
        )
    # A whole path of NCBI also contains nodes without a rank; after such a node, positions do not give the rank.
    strange = next((part for part in parts[1:] if part in _DOMAIN_OF or part.endswith(" group")), None)
    if strange is not None:
        raise InputError(
            f"lineage {text!r} has {strange!r}, which is not one of the ranks {', '.join(RANKS)}, and no prefixes for "
            "the ranks of its names; give a prefix such as p__ before each name, or taxids"
        )
    names = _names([clean_name(part, rank) for rank, part in enumerate(parts)])
    return fill_gaps(names + [None] * (len(RANKS) - len(parts)))


def _split_prefix(part: str) -> tuple[str | None, str]:
    """The letter of the rank and the name; (None, the whole part) without a prefix."""
    match = _PREFIX.fullmatch(part)
    if match is None:
        return None, part
    double, silva, single, bracket, name = match.groups()
    prefix = RANK_PREFIXES[int(silva)] if silva else (double or single or bracket).lower()
    if prefix == "sk" or (bracket == "K"):  # MEGAN writes the domain as [SK], older releases as [K]
        prefix = "d"
    return prefix, name.strip()


def lineage_of_ranks(cells: Sequence[str]) -> Lineage:
    """The lineage from seven cells, one per rank, with or without prefixes and words for missing names."""
    names = _names([clean_name(cell, rank) for rank, cell in enumerate(cells)])
    domain = names[0] and _DOMAIN_OF.get(names[0], names[0])
    return fill_gaps([domain, *names[1:]])


def _names(words: Iterable[str | None]) -> list[str | None]:
    """``words`` with None for missing names; see `is_named`."""
    return [word if is_named(word) else None for word in words]


def fill_gaps(names: Sequence[str | None]) -> Lineage:
    """Fill missing ranks above the deepest named rank, so that a path has no gaps.

    A gap at rank order below *Gammaproteobacteria* becomes ``Gammaproteobacteria order incertae sedis``: the same gap
    under the same parent gets the same name, independent of the names below it.
    """
    filled: list[str | None] = list(names)
    deepest = max((index for index, name in enumerate(filled) if name), default=-1)
    for index in range(deepest + 1):
        if not filled[index]:
            above = (filled[index - 1] or "").split(f" {RANKS[index - 1]} incertae sedis")[0] if index else "unplaced"
            filled[index] = f"{above} {RANKS[index]} incertae sedis"
    return tuple(name or None for name in filled)


def format_lineage(lineage: Lineage) -> str:
    """Write ``d__…;p__…`` down to the deepest assigned rank; an empty string for an empty lineage."""
    return ";".join(f"{prefix}__{name}" for prefix, name in zip(RANK_PREFIXES, named(lineage), strict=False))


def read_formatted(text: str) -> Lineage:
    """Read the text of `format_lineage` exactly: names of a taxonomy are kept unchanged."""
    names = [part[3:] for part in text.split(";")] if text else []
    expected = ";".join(f"{prefix}__{name}" for prefix, name in zip(RANK_PREFIXES, names, strict=False))
    if expected != text or not all(names):
        raise InputError(f"lineage {text!r}; expected d__…;p__… with no rank left out")
    return (*names, *NO_LINEAGE[len(names) :])


def is_filled(name: str | None, rank: int) -> bool:
    """Whether a name at a rank (0 to 6) was made by `fill_gaps`."""
    return name is not None and name.endswith(f" {RANKS[rank]} incertae sedis")


def common_lineage(lineages: Iterable[Lineage]) -> Lineage:
    """The lowest common ancestor: the longest common path of all ``lineages``."""
    shared: list[str | None] = []
    for names in zip(*lineages, strict=True):
        if names[0] is None or any(name != names[0] for name in names):
            break
        shared.append(names[0])
    return tuple(shared + [None] * (len(RANKS) - len(shared)))


def refuse_two_parents(lineages: Iterable[Lineage], source: str) -> int:
    """Raise `InputError`, naming ``source``, if a name has two parents; return the number of homonyms.

    Genera and species of different phyla may be homonyms (*Morus* is a bird and a tree), because the codes of
    nomenclature are independent of each other, but each code allows a name once. Others are errors of the table.
    """
    taxa, contradiction = _taxa_of(lineages)
    if contradiction is not None:
        raise InputError(f"{source}: {contradiction}")
    homonyms = Counter((rank, name) for rank, name, phylum in taxa if phylum)
    return sum(phyla > 1 for phyla in homonyms.values())


def _taxa_of(lineages: Iterable[Lineage]) -> tuple[Collection[tuple], str | None]:
    """All taxa (`_taxon`), and a sentence about the first one with two parents, if any."""
    first: dict[tuple, Lineage] = {}
    for lineage in lineages:
        for rank in range(1, depth(lineage)):
            before = first.setdefault(_taxon(lineage, rank), lineage)
            if before[:rank] != lineage[:rank]:
                return first.keys(), _two_parents(before, lineage, rank)
    return first.keys(), None


def settle_parents(lineages: Sequence[Lineage], weights: Sequence[int]) -> tuple[list[Lineage], dict[int, str]]:
    """Give each name one parent, as `refuse_two_parents` requires.

    Missing ranks get names, see `name_gaps`. Of two other parents of a name, the one with the larger sum of ``weights``
    is kept; if the sums are equal, the first.

    Returns:
        The lineages, and for each one with a parent that is not kept: its place and a sentence that names both parents.
    """
    if _taxa_of(lineages)[1] is None:
        return list(lineages), {}
    odd = _against_majority(lineages, weights, {}, without_gaps=True)
    settled = name_gaps(lineages, odd)
    return settled, odd | _against_majority(settled, weights, odd)


def name_gaps(lineages: Sequence[Lineage], left_out: Collection[int] = ()) -> list[Lineage]:
    """Replace names made by `fill_gaps` by the names that other lineages have between the same two names.

    A name that is below ``p__P;c__C`` in one lineage, and below ``p__P`` with a missing class in another, is below
    class C in both. Gaps for which others have no name, or two names, remain. Lineages at the places ``left_out`` are
    neither used nor changed.
    """
    settled = list(lineages)
    gaps = {
        place: [
            rank for rank in range(1, depth(lineage)) if _has_gap(lineage, rank) and not is_filled(lineage[rank], rank)
        ]
        for place, lineage in enumerate(lineages)
        if place not in left_out and _has_gap(lineage, depth(lineage))
    }
    # A name that was found for one lineage can be the missing one of another.
    for _ in RANKS if gaps else ():
        above: dict[tuple, dict[Lineage, None]] = {
            _taxon(settled[place], rank): {} for place, ranks in gaps.items() for rank in ranks
        }
        for place, lineage in enumerate(settled):
            for rank in range(1, depth(lineage)):
                among = above.get(_taxon(lineage, rank))
                if among is not None and place not in left_out:
                    among[lineage[:rank]] = None
        before = list(settled)
        for place, ranks in gaps.items():
            for rank in ranks:
                settled[place] = _named_above(settled[place], rank, above.get(_taxon(settled[place], rank), ()))
        if settled == before:
            break
    return settled


def _named_above(lineage: Lineage, rank: int, above: Iterable[Lineage]) -> Lineage:
    """``lineage`` with names for its gaps above ``rank``, from those of ``above`` that agree with its other names."""
    agreeing = [
        other
        for other in above
        if all(
            name == lineage[place] or is_filled(name, place) or is_filled(lineage[place], place)
            for place, name in enumerate(other)
        )
    ]
    names: list[str | None] = [None if is_filled(name, place) else name for place, name in enumerate(lineage)]
    for place in range(rank):
        known = {other[place] for other in agreeing if not is_filled(other[place], place)}
        if names[place] is None and len(known) == 1:
            names[place] = known.pop()
    return fill_gaps(names)


def _against_majority(
    lineages: Sequence[Lineage], weights: Sequence[int], left_out: Collection[int], without_gaps: bool = False
) -> dict[int, str]:
    """Places of lineages in which a name has another parent than in most, with sentences; from the phylum downwards."""
    odd: dict[int, str] = {}
    for rank in range(1, len(RANKS)):
        members = [
            (place, lineage)
            for place, lineage in enumerate(lineages)
            if depth(lineage) > rank
            and place not in odd
            and place not in left_out
            and not (without_gaps and _has_gap(lineage, rank))
        ]
        votes: dict[tuple, dict[Lineage, int]] = {}
        for place, lineage in members:
            of_parent = votes.setdefault(_taxon(lineage, rank), {})
            of_parent[lineage[:rank]] = of_parent.get(lineage[:rank], 0) + weights[place]
        kept = {taxon: max(found, key=lambda one: found[one]) for taxon, found in votes.items() if len(found) > 1}
        for place, lineage in members if kept else ():
            parent = kept.get(_taxon(lineage, rank), lineage[:rank])
            if parent != lineage[:rank]:
                odd[place] = _two_parents((*parent, lineage[rank]), lineage, rank)
    return odd


def _taxon(lineage: Lineage, rank: int) -> tuple:
    """What may have one parent only: rank, name, and the phylum of genera and species (see `refuse_two_parents`)."""
    return rank, lineage[rank], lineage[:2] if rank >= RANKS.index("genus") else ()


def _has_gap(lineage: Lineage, rank: int) -> bool:
    return any(is_filled(name, place) for place, name in enumerate(lineage[:rank]))


def _two_parents(one: Lineage, other: Lineage, rank: int) -> str:
    lineages = " and ".join(format_lineage(lineage[: rank + 1]) for lineage in (one, other))
    return f"the {RANKS[rank]} {one[rank]!r} has two parents: {lineages}"


def require_two_species(number: int, source: str, among: str) -> None:
    """Raise `InputError`, naming ``source`` and ``among``, if ``number`` (of species) is less than 2."""
    if number < 2:
        raise InputError(f"{source}: {number} species among {among}; expected at least 2")


def count_unknown_names(lineages: Iterable[Lineage], known: Iterable[Lineage], source: str, reference: str) -> int:
    """The number of names of ``lineages`` below the domain that are not in ``known``, in any spelling.

    Raises `InputError`, naming ``source`` and ``reference``, if none of the names is known: the two use different
    taxonomies or spellings and cannot be compared.
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
