"""A test double of the ``conda`` program: the sub-commands that Snakemake 9 calls, and no others.

Parsing, solving and linking are real (py-rattler, the engine behind pixi); the command line is ours. Channel names
are looked up under $CONDA_CHANNEL_ALIAS, as conda's ``channel_alias`` does. $CONDA_DOUBLE_PREFIX is conda's base.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import yaml
from rattler import Channel, ChannelConfig, Gateway, MatchSpec, VirtualPackage, install, solve

VERSION = "24.7.1"  # the oldest that Snakemake 9 accepts
BASE = Path(os.environ["CONDA_DOUBLE_PREFIX"])


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--version"]:
            print(f"conda {VERSION}")
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": str(BASE), "platform": "linux-64", "conda_version": VERSION}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}, "success": True}))
        case ["env", "create", *options]:
            asyncio.run(create(options))
        case ["clean", "-y", "--tarballs"]:
            pass  # the double keeps none
        case _:
            print(f"test double of conda: {arguments} is not one of the calls that Snakemake makes", file=sys.stderr)
            return 2
    return 0


async def create(options: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--no-default-packages", action="store_true")
    chosen = parser.parse_args(options)
    environment = yaml.safe_load(chosen.file.read_text())
    alias = ChannelConfig(channel_alias=os.environ["CONDA_CHANNEL_ALIAS"].rstrip("/") + "/")
    records = await solve(
        sources=[Channel(name, alias) for name in environment["channels"]],
        specs=[MatchSpec(entry) for entry in environment["dependencies"]],
        gateway=Gateway(cache_dir=BASE / "repodata"),
        virtual_packages=VirtualPackage.detect(),
    )
    await install(records, target_prefix=chosen.prefix, show_progress=False, cache_dir=BASE / "packages")


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Exception as error:
        print(f"test double of conda: {error}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # py-rattler 0.28 may crash while the interpreter shuts down, long after its work is done
