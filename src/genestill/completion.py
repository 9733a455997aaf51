"""Shell completion: ``genestill --print-completion bash`` prints a script for the shell to read."""

import argparse

SHELLS = ("bash", "zsh", "tcsh")
# What an option takes, by the word its help shows for it; the rest completes nothing.
_FOLDER_METAVARS = {"FOLDER"}
_FILE_METAVARS = {"FASTA", "PARQUET", "TSV", "JSON", "YAML", "BAM", "FILE", "ONNX", "SVG", "TXT"}


class PrintCompletion(argparse.Action):
    """Print the completion script of the whole program for one shell, and exit."""

    def __call__(self, parser, namespace, shell, option_string=None):
        """Print and exit with 0; ``shell`` is one of `SHELLS`."""
        # Imported here: jobs in environments of their own have no use for it.
        import shtab

        kinds = dict.fromkeys(_FOLDER_METAVARS, shtab.DIRECTORY) | dict.fromkeys(_FILE_METAVARS, shtab.FILE)
        for action in _actions(parser):
            if action.metavar in kinds:
                action.complete = kinds[action.metavar]
        print(shtab.complete(parser, shell))
        parser.exit()


def _actions(parser: argparse.ArgumentParser):
    """Every option and argument of a parser and of the parsers under it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
        else:
            yield action
