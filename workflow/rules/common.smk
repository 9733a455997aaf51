import sys
from pathlib import Path

SOURCE = Path(workflow.basedir).parent / "src"
sys.path.insert(0, str(SOURCE))

from genestill.ground.configuration import complete_configuration
from genestill.ground.errors import InputError

try:
    config = complete_configuration(
        config,
        recipes=Path(workflow.basedir).parent / "config" / "recipes",
        schemas=Path(workflow.basedir) / "schemas",
    )
except InputError as error:
    raise WorkflowError(str(error))

# Snakemake clears PYTHONPATH in conda environments; the package travels with the workflow instead of being installed.
shell.prefix(f"set -euo pipefail; export PYTHONPATH='{SOURCE}'; ")

# Without a limit Snakemake would start all GPU jobs at once on one card; --resources gpu=N overrides it.
workflow.global_resources.setdefault("gpu", 1)

RESULTS = f"results/{config['recipe']}/{config['dataset']['name']}"
