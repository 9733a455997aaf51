"""Shell completion: ``genestill --print-completion bash`` prints a completion script."""

import argparse

SHELLS = ("bash", "zsh", "tcsh")
# The kind of completion of an option, by its metavar; options with other metavars are not completed.
_FOLDER_METAVARS = {"FOLDER"}
_FILE_METAVARS = {"FASTA", "PARQUET", "TSV", "JSON", "YAML", "BAM", "FILE", "ONNX", "SVG", "TXT"}


class PrintCompletion(argparse.Action):
    """Print the completion script of all commands for one shell, and exit."""

    def __call__(self, parser, namespace, shell, option_string=None):
        """Print and exit with 0; ``shell`` is one of `SHELLS`."""
        # Imported here because it is not installed in the environments of single jobs.
        import shtab

        kinds = dict.fromkeys(_FOLDER_METAVARS, shtab.DIRECTORY) | dict.fromkeys(_FILE_METAVARS, shtab.FILE)
        for action in _actions(parser):
            if action.metavar in kinds:
                action.complete = kinds[action.metavar]
        print(shtab.complete(parser, shell))
        parser.exit()


def _actions(parser: argparse.ArgumentParser):
    """All options and arguments of a parser and of its subparsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
        else:
            yield action
