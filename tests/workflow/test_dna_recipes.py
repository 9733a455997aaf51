import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from genestill.core.configuration import complete_configuration, read_yaml
from genestill.core.contradictions import refuse_contradictions
from genestill.core.devices import count_gpus
from genestill.core.errors import InputError
from genestill.core.recipes import STRONGEST_BASELINE, Cell, dna_cells, dna_models
from genestill.core.settings import expand
from genestill.student.dna.students import ARCHITECTURES
from snakemake_process import ROOT, run_snakemake

CONFIGURATIONS = ("had-demo", "seqlens-demo", "had-real", "seqlens-real")


def complete(settings: dict) -> dict:
    return complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_dna_configuration_is_complete_and_compares_with_a_model_that_it_makes(name):
    dna = complete(read_yaml(ROOT / "config" / f"{name}.yaml"))["dna"]
    assert dna["students"]
    made = set(dna_models(dna))
    assert dna["compared_with"] in made | set(dna["baselines"]) | {STRONGEST_BASELINE}


@pytest.mark.parametrize(
    ("dna", "message"),
    [
        ({"students": {"mine": {"method": "distil", "scope": "some"}}}, "scope"),
        ({"students": {"Mine": {"method": "distil"}}}, "Mine"),
        ({"students": {"teacher": {"method": "distil"}}}, "teacher"),
        ({"students": {"mine": {"method": "distil", "evaluation_methods": ["all"]}}}, "evaluation_methods"),
        ({"tasks": {"H3": "H3.tsv"}}, "H3"),
        ({"students": {"mine": {"method": "distil", "architecture": "hda"}}}, "hda"),
        ({"students": {"mine": {"method": "distil", "mask_fraction": 0}}}, "mask_fraction"),
        ({"vocabulary": 100_000}, "vocabulary"),
        ({"evaluation_method": ["probe"]}, "evaluation_methods"),
    ],
)
def test_mistakes_in_the_section_dna_are_refused_with_the_key_name(dna, message):
    with pytest.raises(InputError, match=message):
        complete({"recipe": "had", "dataset": {"name": "x"}, "dna": dna})


def test_the_schema_lists_exactly_the_available_architectures():
    schema = expand(read_yaml(ROOT / "workflow" / "schemas" / "dna.schema.yaml"))
    offered = schema["properties"]["defaults"]["properties"]["architecture"]["enum"]
    assert sorted(filter(None, offered)) == sorted(ARCHITECTURES)


def list_jobs(dna: dict, folder: Path, teacher: dict | None = None) -> subprocess.CompletedProcess:
    """A dry run of the demo with different settings in the sections dna and teacher."""
    dna = {"teacher_features": "stored"} | dna  # by default, they are computed where there is a GPU
    (folder / "other.yaml").write_text(yaml.safe_dump({"dna": dna, "teacher": teacher or {}}))
    (folder / "t.tsv").touch()
    configurations = (ROOT / "config" / "had-demo.yaml", folder / "other.yaml")
    return run_snakemake(
        *("-n", "-p", "--cores", "1", "had", "--configfile", *configurations), folder=folder, check=False
    )


def test_a_task_that_a_benchmark_does_not_have_is_refused_before_any_job(tmp_path):
    done = list_jobs({"tasks": {"gue/mouse_9": "t.tsv"}}, tmp_path)
    assert done.returncode != 0
    assert "gue/mouse_9 is not a task of the benchmark gue" in done.stdout + done.stderr


@pytest.mark.parametrize("recipe", ["had", "seqlens", "mrna"])
def test_trainings_take_one_core_each_without_a_gpu_because_small_models_are_slower_with_two(recipe, tmp_path):
    configuration = ROOT / "config" / f"{recipe}-demo.yaml"
    done = run_snakemake("-n", "--cores", "8", recipe, "--configfile", configuration, folder=tmp_path)
    trains = r"(?:local)?rule (pretrain_teacher|pretrain_dna_student|distil_\w+|finetune_\w+):"
    jobs = [text for text in re.split(r"\n\[", done.stdout) if re.search(trains, text)]
    assert len(jobs) > 1
    expected = "5" if count_gpus() else "1"
    assert {found[1] if (found := re.search(r"threads: (\d+)", text)) else "1" for text in jobs} == {expected}


def planned(command: str, dna: dict, folder: Path, teacher: dict | None = None) -> list[str]:
    """The calls with ``command`` (or some of its options) that a dry run lists."""
    done = list_jobs(dna, folder, teacher)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if f" {command} " in line]


def test_each_seed_is_validated_on_a_separate_fold_and_a_task_may_set_its_own_passes(tmp_path):
    settings = {"evaluation_methods": ["full"], "compared_with": None, "folds": 3, "seeds": [7, 5, 9]}
    settings |= {"epochs": 4, "task_epochs": {"origin/phylum": 2}}
    calls = planned("finetune", settings, tmp_path)
    for fold, seed in enumerate((7, 5, 9)):
        jobs = [line for line in calls if f" --seed {seed} " in line]
        assert len(jobs) == 7  # students of the recipe and of the demo
        assert all(f" --epochs 2 --batch 128 --learning-rates 0.001 --folds 3 --fold {fold} " in line for line in jobs)


def test_students_are_trained_several_times_and_fitted_on_several_numbers_of_rows(tmp_path):
    settings = {"trainings": 2, "seeds": [7, 8, 9], "training_rows": [64, None], "evaluation_methods": ["full"]}
    done = list_jobs(settings, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    trained = [line for line in lines if " pretrain-dna " in line]
    assert len(trained) == 2 * 2
    for seed, number in ((1, 1), (2, 2)):
        assert sum(f"--seed {seed} " in line and f"/untrained.{number}/model" in line for line in trained) == 1
    fitted = [line for line in lines if " student finetune " in line and " --name untrained " in line]
    assert len(fitted) == 3 * 2
    folders = {(seed, line.split("--model ")[1].split()[0].split("/")[-2])
               for line in fitted for seed in (7, 8, 9) if f" --seed {seed} " in line}  # fmt: skip
    assert folders == {(7, "untrained.1"), (8, "untrained.2"), (9, "untrained.1")}
    assert sum(" --rows 64 " in line for line in fitted) == 3
    scored = next(line for line in lines if " sequence-scores " in line)
    assert "/untrained-full.64.7.parquet" in scored
    assert "--question distillation distilled masked-bases 1" in scored


def test_evaluation_methods_have_separate_tasks_seeds_and_rows():
    settings = {
        "tasks": {"gue/mouse_2": "a.tsv", "gue/tf_0": "b.tsv"},
        "students": {"plain": {"method": "pretrain", "training_rows": [64, 128]}, "untrained": {"method": "pretrain"}},
        "evaluation_methods": ["probe", "full"],
        "baselines": ["linear"],
        "seeds": [1, 2, 3],
        "by_method": {
            "probe": {"tasks": ["gue/tf_0"], "seeds": [1, 2]},
            "full": {"tasks": ["gue/mouse_2"], "training_rows": [64]},
        },
    }
    dna = complete({"recipe": "seqlens", "dataset": {"name": "x"}, "dna": settings})["dna"]
    dna["students"]["pretrained"] = None
    cells = {(cell.model, cell.task, cell.rows, cell.seed) for cell in dna_cells(dna)}
    # Rows of an evaluation method take precedence over rows of a student.
    assert {cell[1:3] for cell in cells if cell[0] == "plain-full"} == {("gue/mouse_2", 64)}
    assert {cell[1:3] for cell in cells if cell[0] == "plain-probe"} == {("gue/tf_0", 64), ("gue/tf_0", 128)}
    assert {cell[1:] for cell in cells if cell[0] == "untrained-probe"} == {
        ("gue/tf_0", None, 1), ("gue/tf_0", None, 2)}  # fmt: skip
    baseline = {cell[1:] for cell in cells if cell[0] == "linear"}
    assert baseline == {cell[1:] for cell in cells if cell[0] != "linear"}
    published = dna_cells(dna, {"gue/tf_0": 5})
    assert {cell.seed for cell in published if cell.task == "gue/tf_0"} == {1, 2, 3, 4, 5}
    assert Cell("plain-full", "gue/mouse_2", None, 3).file == "gue/mouse_2/plain-full.all.3"


def without_students() -> dict:
    """Settings that remove all students and questions of had and of its demo."""
    dna = complete(yaml.safe_load((ROOT / "config" / "had-demo.yaml").read_text()))["dna"]
    return {"students": dict.fromkeys(dna["students"]), "questions": dict.fromkeys(dna["questions"])}


def test_baselines_are_evaluated_without_a_student(tmp_path):
    done = list_jobs(without_students() | {"baselines": ["kmer", "linear"], "training_rows": [64, None]}, tmp_path)
    assert done.returncode == 0, done.stderr
    fits = [line for line in done.stdout.splitlines() if " sequence-fit " in line]
    assert len(fits) == 2 * 2
    assert not any(f" {command} " in done.stdout for command in ("pretrain-dna", "sequence-tsne", "embed"))


def test_a_run_without_any_model_is_refused(tmp_path):
    done = list_jobs(without_students() | {"baselines": [], "compared_with": None}, tmp_path)
    assert done.returncode != 0
    assert "no model is evaluated; expected a student in dna.students or dna.baselines" in done.stdout + done.stderr


def test_a_published_protocol_gives_each_benchmark_its_folds_and_seeds(tmp_path):
    settings = {
        "tasks": {"nucleotide_transformer/H4": "t.tsv", "genomic_benchmarks/human_enhancers_cohn": "t.tsv"},
        "protocol": "published", "evaluation_methods": ["full"], "baselines": [], "compared_with": None,
        "questions": dict.fromkeys(("architecture", "student")),
    }  # fmt: skip
    calls = [line for line in planned("finetune", settings, tmp_path) if " --name untrained " in line]
    for task, number in (("H4", 10), ("human_enhancers_cohn", 5)):
        folds = {line.split(" --folds ")[1].split()[2] for line in calls if f"/{task} " in line}
        assert folds == {str(fold) for fold in range(number)}
        assert all(f" --folds {number} " in line for line in calls if f"/{task} " in line)


def test_the_teacher_is_fine_tuned_beside_its_students_once_it_has_passed(tmp_path):
    settings = {"teacher_evaluation_methods": ["probe", "full"], "learning_rates": [0.001, 0.0001]}
    (call,) = planned("student finetune", settings, tmp_path)
    assert " --model results/had/had-demo/teacher/miniature/model --name teacher --model-kind teacher " in call
    assert " --learning-rates 0.001 0.0001 " in call
    assert (
        call.rstrip()
        .split(" --output ")[1]
        .startswith(
            "results/had/had-demo/evaluation/sequence_tasks/predictions/origin/phylum/teacher-full.all.1.parquet"
        )
    )


def test_students_with_different_corpora_tokens_pooling_and_initialization_share_one_run(tmp_path):
    deberta = {"method": "pretrain", "architecture": "deberta-tiny"}
    settings = {
        "students": {
            "whole": deberta | {"tokens": "bpe-128"},
            "words": deberta | {"tokens": "3-mers"},
            "long": {"method": "pretrain", "corpus": "short"},
            "on": {"method": "pretrain", "corpus": "short", "initial": "whole"},
            "pooled": {"method": "pretrain", "steps": 0, "initial": "whole", "pooling": "max"},
        },
        "corpora": {"short": {"length": 90, "shortest": 60, "evenly_by": "phylum"}},
        "maximum_test_rows": 50,
    }
    done = list_jobs(settings, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    results = "results/had/had-demo"
    (short,) = (line for line in lines if " reference windows " in line and "windows/short" in line)
    assert " --length 90 --shortest 60 --number 400 --evenly-by phylum --strands both " in short
    trained = {
        re.search(r" --output \S+/student/([^/]+)/model", line)[1]: line for line in lines if " pretrain-dna " in line
    }
    assert f"--tokenizer {results}/student/tokenizers/bpe-128 " in trained["whole"]
    assert f"--tokenizer {results}/student/tokenizers/3-mers " in trained["words"]
    assert f"--sequences {results}/reference/windows/short.fna.gz " in trained["on"]
    assert f"--initial {results}/student/whole/model " in trained["on"]
    assert "--architecture" not in trained["on"]
    assert any(" train-tokenizer " in line and " --kmer 3 " in line for line in lines)
    pooled = [line for line in lines if " student embed " in line and "/student/pooled/model " in line]
    assert pooled
    assert all(" --pooling max " in line for line in pooled)
    (drawn,) = (line for line in lines if " draw-sequence-rows " in line)
    assert f"--task {results}/reference/phylum.tsv.gz --maximum-test-rows 50 " in drawn
    fitted = next(line for line in lines if " sequence-fit --kind linear " in line)
    assert f"--task {results}/reference/tasks/origin/phylum.tsv.gz " in fitted


def test_a_student_with_the_weights_of_a_trained_one_is_not_a_control(tmp_path):
    deberta = {"method": "pretrain", "architecture": "deberta-tiny"}
    students = {
        "whole": deberta,
        "pooled": {"method": "pretrain", "steps": 0, "initial": "whole", "pooling": "max"},
        "random": deberta | {"steps": 0},
        "random-pooled": {"method": "pretrain", "steps": 0, "initial": "random", "pooling": "max"},
    }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"dna": {"students": students}}))
    files = [ROOT / "config" / "seqlens-demo.yaml", tmp_path / "other.yaml"]
    done = run_snakemake("-n", "-p", "--cores", "1", "seqlens", "--configfile", *files, folder=tmp_path)
    kinds = set(re.findall(r" --name (\S+) --model-kind (\S+) ", done.stdout))
    assert {("whole", "student"), ("pooled", "student"), ("random", "control"), ("random-pooled", "control")} <= kinds


def test_origin_tasks_are_made_from_the_genomes_of_the_run_or_of_tables(tmp_path):
    settings = {"origin_tasks": {"origin/plasmid": {"classes": "plasmid", "length": 500, "number": 100}}}
    (made,) = planned("origin-task", settings, tmp_path)
    assert "--genomes results/had/had-demo/reference/simulated_genomes/genomes.tsv " in made
    assert " --classes plasmid --length 500 --number 100 --test-share 0.4 " in made
    (windows,) = planned("reference windows", settings, tmp_path)
    assert "--without-tests-of" not in windows


@pytest.mark.slow
def test_features_of_the_windows_may_be_split_over_jobs_and_a_student_reads_all_of_them(tmp_path):
    jobs = planned("--representation token", {}, tmp_path, {"shards": 2})
    assert len(jobs) == 2 * 2  # of the teacher and of the one with random weights
    assert all(" --shards 2 " in line for line in jobs)
    features = "results/had/had-demo/teacher/miniature/windows/token"
    students = planned("distil-dna", {}, tmp_path, {"shards": 2})
    control = next(line for line in students if "/student/random-teacher/" in line)
    random = features.replace("/windows", "/random/windows")
    assert f" --features {random}/0.parquet {random}/1.parquet " in control
    students.remove(control)
    assert students
    assert all(f" --features {features}/0.parquet {features}/1.parquet " in line for line in students)


def test_a_teacher_in_the_loop_needs_no_stored_features_of_windows(tmp_path):
    stored, computed = (list_jobs({"teacher_features": kind}, tmp_path).stdout for kind in ("stored", "computed"))
    for text, present, absent in (
        (stored, ("windows/token/",), ("cut_regions", "--teacher")),
        (computed, ("cut_regions", "tasks/origin/phylum/sequence/"), ("windows/token/",)),
    ):
        assert all(word in text for word in present)
        assert not any(word in text for word in absent)
    shown = planned("distil-dna", {"teacher_features": "computed"}, tmp_path)
    assert len(shown) >= 3
    for words in shown:
        assert "--features" not in words
        assert "/reference/regions.fna.gz --teacher results/had/had-demo/teacher/" in words
    assert sum("/random/model" in words for words in shown) == 1


def test_a_teacher_in_the_loop_and_given_embeddings_exclude_each_other(tmp_path):
    embeddings = {"windows": "w.parquet", "tasks/origin/phylum": "p.parquet"}
    with pytest.raises(InputError, match=r"dna\.teacher_features is computed, but teacher\.embeddings"):
        refuse_contradictions(
            complete(
                {
                    "recipe": "had",
                    "dataset": {"name": "x"},
                    "dna": {"teacher_features": "computed"},
                    "teacher": {"embeddings": embeddings},
                }
            )
        )


def test_a_student_or_a_question_of_the_recipe_is_disabled_by_null(tmp_path):
    settings = {"students": {"random-teacher": None}, "questions": {"teacher": None}}
    done = list_jobs(settings, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "random" not in done.stdout
    assert "--question student distilled" in done.stdout
    assert "--question teacher" not in done.stdout


@pytest.mark.parametrize("recipe", ["mrna", "had"])
def test_a_teacher_given_by_name_is_downloaded_and_checked_before_use(recipe, tmp_path):
    settings = {"recipe": recipe, "dataset": {"name": "x"}, "teacher": {"model": "nucleotide-transformer-v2-50m"}}
    (tmp_path / "named.yaml").write_text(yaml.safe_dump(settings))
    done = run_snakemake("-n", "-p", "--cores", "1", recipe, "--configfile", tmp_path / "named.yaml", folder=tmp_path)
    rules = re.findall(r"^(?:local)?rule (\w+):", done.stdout, flags=re.MULTILINE)
    assert {"fetch_teacher", "check_teacher", "embed_shard"} <= set(rules)
    assert "pretrain_teacher" not in rules
    assert "teacher fetch nucleotide-transformer-v2-50m" in done.stdout
    asked = [block for block in done.stdout.split("\n\n") if "rule embed_shard:" in block]
    assert asked
    assert all("/check.json" in block for block in asked)


@pytest.mark.workflow
@pytest.mark.slow
def test_the_dna_demo_runs_from_scratch_to_table_and_figures(run_documented_demo):
    folder = run_documented_demo("had", "had-demo")
    scores = folder / "results/had/had-demo/evaluation/sequence_tasks"
    table = pd.read_csv(scores / "table.tsv", sep="\t")
    students = {
        f"{name} (fit=probe)" for name in ("teacher", "distilled", "alignment-only", "undistilled", "untrained")
    }
    assert students | {"linear", "cnn"} <= set(table["model"])
    assert (scores / "scores.svg").is_file()
    assert (scores / "tsne.svg").is_file()


@pytest.mark.workflow
@pytest.mark.slow
def test_the_seqlens_demo_runs_from_scratch_to_table_and_figures(run_documented_demo):
    folder = run_documented_demo("seqlens", "seqlens-demo")
    scores = folder / "results/seqlens/seqlens-demo/evaluation/sequence_tasks"
    table = pd.read_csv(scores / "table.tsv", sep="\t")
    fitted = {"pretrained (fit=probe)", "pretrained (fit=lora)", "untrained (fit=probe)"}
    assert fitted | {"linear", "cnn"} <= set(table["model"])
    assert "pretrained (fit=lora)" in (scores / "table.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_published_predictions_are_read_and_their_inputs_are_not_recomputed(tmp_path):
    for folder in ("workflow", "config", "resources"):
        shutil.copytree(ROOT / folder, tmp_path / folder)

    def jobs(seed: int) -> tuple[list[str], list[str]]:
        settings = {"dna": {"seeds": [3], "evaluation_methods": ["probe"], "baselines": ["linear"]}}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(settings | {"seed": seed}))
        arguments = ("-n", "-p", "--cores", "1", "publish", "--configfile", "config/had-demo.yaml", "other.yaml")
        done = run_snakemake(*arguments, folder=tmp_path, snakefile=tmp_path / "workflow" / "Snakefile")
        lines = done.stdout.splitlines()
        return [line for line in lines if " distil-dna " in line], re.findall(r"mv \S+ ([^\s)]+)", done.stdout)

    trained, copies = jobs(seed=1)
    published = next(Path(copy) for copy in copies if "/distilled-probe." in copy)
    published.parent.mkdir(parents=True)
    published.touch()
    fewer, later = jobs(seed=1)
    assert set(copies) - set(later) == {str(published)}
    assert len(trained) - len(fewer) == 1
    assert all("/student/distilled/" not in line for line in fewer)
    # With a different setting, it is not the published result.
    assert jobs(seed=2)[0] == [line.replace("--seed 1 ", "--seed 2 ") for line in trained]
