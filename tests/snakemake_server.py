"""Snakemake with its imports done: a process that forks for every call, so that tests do not import it each time.

Calls are lines of JSON on standard input: arguments, folder, variables, and files for both outputs. The answer to each
is a line with the exit status. The server does not use threads, and every call is a process that ends as usual.
"""

import importlib
import json
import os
import sys

# What Snakemake and the workflow import in every run.
IMPORTED = ("snakemake.cli", "snakemake.api", "genestill.preflight", "jsonschema", "pandas", "pulp", "yaml")


def run(call: dict) -> None:
    """Become the process of a call."""
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["variables"])
    for number, file in ((0, os.devnull), (1, call["stdout"]), (2, call["stderr"])):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
    sys.argv = call["words"]
    from snakemake.cli import main

    main(call["words"][1:])


def serve() -> None:
    """Answer calls until the input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
