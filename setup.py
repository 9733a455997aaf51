"""Copies the workflow's files, which stand at the top of the repository, into the package when it is built."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ("Snakefile", "requirements.lock", "workflow", "config", "envs", "resources", "scripts", "CITATION.cff")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "downloads", "predictions", ".lock")


class BuildWithWorkflow(build_py):
    """The usual build, and ``genestill/workflow_files``; an editable installation uses the repository itself."""

    def run(self):
        """Build the package."""
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / "genestill" / "workflow_files"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in FILES:
            source = Path(__file__).parent / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=LEFT_OUT)
            else:
                shutil.copy(source, place / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
