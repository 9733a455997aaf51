import ast
import json
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "genestill"
STAGES = ("reference", "labels", "teacher", "student", "evaluation")
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def calls():
    for file, tree in TREES.items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def room(file):
    return file.relative_to(SOURCE).parts[0]


def test_a_stage_imports_only_the_core_and_itself_and_the_core_imports_no_stage():
    for file, tree in TREES.items():
        own = room(file)
        for module in imported(tree) if own in (*STAGES, "core") else ():
            parts = module.split(".")
            if parts[0] == "genestill" and len(parts) > 1:
                assert parts[1] in (own, "core"), f"{file} imports {module}"


def test_the_command_line_is_built_without_heavy_libraries():
    """In a separate process: here, other tests have loaded everything already.

    They start quickly, also in the environment of a tool without torch.
    """
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, genestill.cli; genestill.cli.build_parser(); print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"torch", "transformers", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "tabulate"}
    assert not heavy & set(loaded)


def at_import(tree):
    """Names of the modules that are imported with a module: at its top, not in functions or for type checkers."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def test_commands_that_run_no_model_start_without_torch_and_transformers():
    """This saves seconds at every start, and hundreds of megabytes in every process."""
    names = {
        ".".join(("genestill", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): tree
        for file, tree in TREES.items()
    }
    trained = ("networks", "cnn", "gated_cnn", "stack")  # baselines that are networks, imported where one is fitted
    light = [
        name
        for name in names
        if name.split(".")[1:2] in (["reference"], ["labels"], ["evaluation"]) and name.split(".")[-1] not in trained
    ]
    assert len(light) > 20
    for first in light:
        seen, waiting = {first}, [first]
        while waiting:
            name = waiting.pop()
            for module in at_import(names[name]):
                assert module.split(".")[0] not in ("torch", "transformers"), f"{first} imports {name}, which {module}"
                if module in names and module not in seen:
                    seen.add(module)
                    waiting.append(module)


def test_slow_imports_that_few_functions_need_are_inside_those_functions():
    for file, tree in TREES.items():
        slow = {name for name in at_import(tree) if name.split(".")[0] == "sklearn" or name.startswith("scipy.stats")}
        assert not slow, f"{file} imports {', '.join(sorted(slow))}"


def test_no_remote_code_and_no_pickle_is_ever_loaded():
    for file, call in calls():
        place = f"{file}:{call.lineno}"
        name = ast.unparse(call.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("trust_remote_code", "False") == "False", place
        assert keywords.get("allow_pickle", "False") == "False", place
        assert keywords.get("shell", "False") == "False", f"{place}: file names must not reach a shell"
        assert name not in ("pickle.load", "pickle.loads", "joblib.load", "eval", "exec"), place
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", place


def test_a_result_has_one_provenance_record_written_by_the_command_line():
    for file, tree in TREES.items():
        for node in ast.walk(tree) if room(file) in STAGES else ():
            if isinstance(node, ast.ImportFrom) and node.module == "genestill.core.provenance":
                assert {alias.name for alias in node.names} <= {"find_record"}, file


def test_only_one_module_sets_final_names_and_permissions():
    """It syncs before it renames, and never changes the target of a link."""
    forbidden = {"os.replace", "os.rename", "shutil.move", "os.chmod", "os.chown", "os.utime", "os.symlink", "os.link"}
    for file, call in calls():
        if file.relative_to(SOURCE) != Path("core/files.py"):
            name = ast.unparse(call.func)
            assert name not in forbidden, f"{file}:{call.lineno}"
            assert not name.endswith((".chmod", ".touch")), f"{file}:{call.lineno}"
            # A file in the place of a folder is reported only by `make_folder`.
            made = name.endswith((".mkdir", ".makedirs")) and any(word.arg == "exist_ok" for word in call.keywords)
            assert not made or file.parent.name == "core", f"{file}:{call.lineno}"


SHADOWS = """
import json, sys
import snakemake.api, snakemake.workflow
own = dict(vars(snakemake.workflow))
for file, lines, names in json.load(sys.stdin):
    namespace = {}
    exec("\\n".join(lines), namespace)
    for name in names + [name for name in namespace if name != "__builtins__"]:
        if name in own and own[name] is not namespace.get(name):
            print(file, name)
"""


def test_one_loop_trains_every_model():
    """Schedules, clipping, the finite check, checkpoints and the history are the same for all."""
    backward = {
        file.relative_to(SOURCE).as_posix() for file, node in calls() if ast.unparse(node.func).endswith(".backward")
    }
    assert backward == {"core/training/loop.py"}
    optimizers = {
        file for file, tree in TREES.items() if any(module.startswith("torch.optim") for module in imported(tree))
    }
    assert {file.relative_to(SOURCE).as_posix() for file in optimizers} == {"core/training/optimizer.py"}


def test_rule_files_do_not_overwrite_names_of_snakemake():
    """Rule files are run in the namespace of snakemake.workflow: its ``logger`` must stay.

    In a separate process: here, other tests may have run rule files already.
    """
    files = []
    for file in sorted((SOURCE.parents[1] / "workflow").rglob("*")):
        if file.suffix == ".smk" or file.name == "Snakefile":
            text = file.read_text(encoding="utf-8")
            text = re.sub(r"\(([^()]*)\)", lambda found: found[0].replace("\n", " "), text)
            lines = re.findall(r"^(?:from \S+ )?import .*$", text, re.M)
            names = re.findall(r"^([A-Za-z_]+) = ", text, re.M) + re.findall(r"^def ([a-z_]+)", text, re.M)
            files.append((file.name, lines, names))
    assert len(files) > 10
    call = [sys.executable, "-c", SHADOWS]
    done = subprocess.run(call, input=json.dumps(files), capture_output=True, text=True, check=True)
    assert done.stdout == ""
