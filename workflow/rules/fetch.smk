# All downloads, and nothing else: snakemake fetch --configfile …; the other rules need no network.


localrules:
    fetch,


FETCHED = [
    path
    for path in [
        *flattened(DATASET.values()),
        *flattened((REFERENCE | {"database": None}).values()),
        *DNA_GIVEN_TASKS.values(),
        *(
            table
            for given in [
                DNA["windows"],
                *DNA_CORPORA.values(),
                *DNA_ORIGIN_TASKS.values(),
            ]
            for table in dna_genomes(given.get("genomes"))
        ),
        *sorted(MRNA_FILES),
    ]
    if is_downloaded(path)
]
if TEACHER_CONFIG["model"] and not TEACHER_IS_FOLDER:
    FETCHED.append(f"{TEACHER}/model")
# A database that is not an existing file is downloaded by MMseqs2.
if REFERENCE["database"] and not Path(f"{REFERENCE['database']}.dbtype").is_file():
    FETCHED.append(f"{RESULTS}/reference/database")
# A benchmark has no downloads except those of its communities.
if config["benchmark"]["communities"]:
    FETCHED = [
        getattr(rules, f"{community}_fetch").input
        for community in config["benchmark"]["communities"]
    ]
PEERS = {
    "amber": TRUTH and config["evaluation"]["amber"],
    "vamb": {*TAXOMETER, "vamb-bins"} & set(config["evaluation"]["benchmark"]),
}
FETCHED += [peer_environment(peer) for peer, wanted in PEERS.items() if wanted]


rule fetch:
    input:
        FETCHED,
