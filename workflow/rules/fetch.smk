# Everything that comes from outside, and nothing else: snakemake fetch --configfile …; the rest needs no network.


localrules:
    fetch,


FETCHED = [
    path
    for path in [
        *DATASET.values(),
        *(REFERENCE | {"database": None}).values(),
        *DNA_GIVEN_TASKS.values(),
    ]
    if is_downloaded(path)
]
if TEACHER_CONFIG["model"] and not TEACHER_IS_FOLDER:
    FETCHED.append(f"{TEACHER}/model")
# A database that is no file here is one of those that MMseqs2 downloads.
if REFERENCE["database"] and not Path(f"{REFERENCE['database']}.dbtype").is_file():
    FETCHED.append(f"{RESULTS}/reference/database")
# A benchmark is nothing of its own: it fetches what each of its communities does.
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
