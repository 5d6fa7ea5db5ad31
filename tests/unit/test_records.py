"""A file's own record is believed: what is not what the plan asks for is named, whatever Snakemake's metadata say."""

import json
import shutil
from pathlib import Path

import pytest
import synthetic

from adaptive_smoothing.core import parquet, paths
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.core.files import sha256_of
from adaptive_smoothing.figures import draw_record
from adaptive_smoothing.pipeline import plan, records

SCALE = "recorded"
TABLE = f"results/{SCALE}/figures/fig9.parquet"
IVON = "digits_weak-small_cnn/weak_annotator/ivon/seed0"


def change_lr(scale):
    scale["setups"]["digits_weak"]["methods"]["ls"]["lr"] = 5.0
    scale["setups"]["digits_weak"]["epochs"] += 1


@pytest.fixture
def planned(tmp_path, monkeypatch) -> plan.Plan:
    """Return the plan of a scale whose results are here, each as the plan asks for."""
    monkeypatch.chdir(tmp_path)
    planned = synthetic.write_scale(SCALE, synthetic.content())
    synthetic.write_results(planned)
    return planned


def differing(planned: plan.Plan, *names: str) -> dict[str, str]:
    figures = [planned.figure(name) for name in names or planned.figures]
    return {difference.file: difference.what for difference in records.check(planned, figures)}


def metrics_file(run: plan.Run) -> str:
    return paths.METRICS.format(scale=SCALE, run=run.name)


def changed_record(file: str, **changes) -> None:
    """Change what a Parquet file says of itself; a key that is given as None is removed."""
    table, metadata = parquet.read(file)
    changed = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
    parquet.write(file, table, changed)


def recollected(planned: plan.Plan) -> None:
    for figure in planned.figures.values():
        synthetic.collected(SCALE, figure)


def test_results_of_the_plan_have_no_difference(planned):
    assert differing(planned) == {}


def test_an_edited_scale_differs_in_its_runs_and_tables_whatever_their_times_say(planned):
    content = synthetic.content()
    change_lr(content)
    content["figures"]["fig9"]["title"] = "Another title"
    edited = synthetic.write_scale(SCALE, content)
    found = differing(edited)
    assert found.keys() == {*map(metrics_file, edited.runs.values()), TABLE}
    what = found[metrics_file(edited.run("digits_weak-small_cnn/weak_annotator/ls-alpha0.3/seed0"))]
    before = planned.run("digits_weak-small_cnn/weak_annotator/ls-alpha0.3/seed0").spec.epochs
    assert f"'specification.epochs' is {before} in its record but {before + 1} in the plan" in what
    assert "'specification.hyperparameters.lr'" in what and "5.0 in the plan" in what
    assert "'title' is " in found[TABLE]
    assert differing(edited, "fig2") == {}


def test_collecting_refuses_runs_that_were_not_asked_for_and_names_the_command(planned):
    content = synthetic.content()
    change_lr(content)
    edited = synthetic.write_scale(SCALE, content)
    before = Path(TABLE).read_bytes()
    with pytest.raises(UserError) as caught:
        synthetic.collected(SCALE, edited.figure("fig9"))
    message = str(caught.value)
    assert "figure fig9: 3 of 3 files with results record another specification than scale 'recorded' asks" in message
    files = [metrics_file(run) for run in edited.figure("fig9").runs]
    assert f"snakemake paper_figures/{SCALE}/fig9.pdf --cores 2 --forcerun {' '.join(files)}" in message
    assert "'smoothing why recorded fig9' says what differs" in message and "\n" not in message
    assert Path(TABLE).read_bytes() == before


def test_a_late_write_of_another_specification_is_named_with_its_table(planned):
    run = planned.run(IVON)
    late = run.spec.model_copy(update={"epochs": 250}).plain()
    synthetic.write_metrics(SCALE, run, specification=late)
    assert "250 in its record" in differing(planned)[metrics_file(run)]
    with pytest.raises(UserError, match=f"1 of 3 files with results .* the first is {metrics_file(run)}"):
        recollected(planned)


def test_a_late_write_of_the_same_specification_makes_the_table_differ(planned):
    run = planned.run(IVON)
    synthetic.write_metrics(SCALE, run, number=7)
    assert differing(planned) == {TABLE: f"it was not made from the {metrics_file(run)} that is there"}


def test_a_run_copied_into_the_place_of_another_is_named(planned):
    ivon, other = planned.figure("fig9").runs[:2]
    shutil.copy(metrics_file(other), metrics_file(ivon))
    assert "'specification." in differing(planned)[metrics_file(ivon)]


def test_other_code_is_named_as_such_and_noted_and_adopted_code_is_none(planned):
    run = planned.run(IVON)
    old = {**run.code, "methods.ivon": "0" * 16}
    synthetic.write_metrics(SCALE, run, code=old)
    (found,) = [one for one in records.check(planned, list(planned.figures.values())) if one.code_alone]
    assert (found.file, found.what) == (metrics_file(run), "other code made it: methods.ivon")
    figure = planned.figure("fig9")
    synthetic.collected(SCALE, figure)
    (note,) = [note for note in parquet.read_metadata(TABLE)["mixed"] if "nobody adopted" in note]
    assert note.startswith("the results of 1 run were made by other code than is here")
    with pytest.raises(UserError, match=r"strict=true forbids that: .*nobody adopted"):
        synthetic.collected(SCALE, figure, strict=True)
    entry = {"by": "Ada", "reason": "moved", "when": "now", "from": old, "to": run.code}
    synthetic.write_metrics(SCALE, run, code=run.code, adopted=[entry])
    synthetic.collected(SCALE, figure, strict=True)
    assert differing(planned) == {}


def test_a_damaged_record_is_named(planned):
    file = metrics_file(planned.run(IVON))
    Path(file).write_bytes(Path(file).read_bytes()[:100])
    assert differing(planned)[file] == "its record cannot be read"


def test_a_deleted_run_is_no_difference_but_is_asked_for(planned):
    assert planned.deleted_files() == []
    file = metrics_file(planned.run(IVON))
    Path(file).unlink()
    assert differing(planned) == {}
    assert planned.deleted_files() == planned.deleted_files([planned.figure("fig9")]) == [file]
    assert planned.deleted_files([planned.figure("fig2")]) == []
    Path(TABLE).unlink()  # it is to be made itself, and asks for its runs
    assert planned.deleted_files() == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"options": {"test_size": 5}}, "'options.test_size' is 5 in its record"),
        ({"variant": "copies"}, "'variant' is \"copies\" in its record but null in the plan"),
        ({"data_seed": 3}, "'data_seed' is 3 in its record but 0 in the plan"),
    ],
)
def test_prepared_data_of_other_options_are_named(planned, change, what):
    (folder,) = {run.dataset_folder for run in planned.runs.values()}
    file = Path(paths.META.format(dataset=folder))
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**planned.sources()[folder], "sha256": "a", **change}))
    assert what in differing(planned)[str(file)]


def test_data_and_labels_that_are_not_those_of_a_run_are_named(planned):
    run = planned.run(IVON)
    meta = Path(paths.META.format(dataset=run.dataset_folder))
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({**planned.sources()[run.dataset_folder], "sha256": "new"}))
    synthetic.write_labels(planned, run, dataset_sha256="new", labels_sha256="new")
    synthetic.write_metrics(SCALE, run, dataset_sha256="new", labels_sha256="new")
    recollected(planned)
    assert differing(planned) == {}
    synthetic.write_metrics(SCALE, run, dataset_sha256="old", labels_sha256="new")
    assert "'dataset_sha256' is \"old\" in its record" in differing(planned)[metrics_file(run)]
    synthetic.write_metrics(SCALE, run, dataset_sha256="new", labels_sha256="old")
    assert "'labels_sha256' is \"old\" in its record" in differing(planned)[metrics_file(run)]
    synthetic.write_labels(planned, run, dataset_sha256="old", labels_sha256="new")
    assert "'dataset_sha256' is \"old\" in its record" in differing(planned)[run.labels]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"noise": {"kind": "symmetric", "rate": 0.9}}, "'noise."),
        ({"noise_seed": 7}, "'noise_seed' is 7 in its record but 0 in the plan"),
        ({"split": {"data_seed": 0, "held_out": 1}}, "'split.held_out' is 1 in its record"),
    ],
)
def test_labels_of_another_corruption_or_split_are_named(planned, change, what):
    run = planned.run(IVON)
    synthetic.write_labels(planned, run)
    assert differing(planned) == {}
    synthetic.write_labels(planned, run, **change)
    assert what in differing(planned)[run.labels]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"title": "Old"}, "'title' is \"Old\" in its record"),
        ({"scale": "other"}, "'scale' is \"other\" in its record"),
        ({"runs": {}}, "it was made from other runs: 0 in its record, 3 in the plan"),
        ({"code": {}}, "other code made it: "),
    ],
)
def test_tables_of_other_contents_are_named(planned, change, what):
    changed_record(TABLE, **change)
    assert what in differing(planned)[TABLE]


def test_a_drawing_of_another_table_and_an_edited_one_are_named(planned):
    pdf, record = paths.figure_files(SCALE, "fig9")[0], paths.DRAWN.format(scale=SCALE, figure="fig9")
    Path(pdf).parent.mkdir(parents=True)
    Path(pdf).write_text("drawn")
    draw_record.write_record(record, sha256_of(TABLE), [pdf])
    assert differing(planned) == {}
    Path(pdf).write_text("edited")
    assert differing(planned) == {record: f"{pdf} was changed after it was drawn"}
    draw_record.write_record(record, "0" * 64, [pdf])
    assert differing(planned) == {record: f"the figure was not drawn from the {TABLE} that is there"}


def test_many_files_are_named_by_a_command(planned):
    figures = list(planned.figures.values())
    one = [records.Difference("a", "why")]
    assert records.sentence(planned, figures, one).endswith("snakemake recorded --cores 2 --forcerun a")
    many = [records.Difference(name, "why") for name in "abcd"]
    text = records.sentence(planned, figures[:1], many)
    assert text.startswith("a and 3 more files are not what config/recorded.yaml asks for")
    assert text.endswith("paper_figures/recorded/fig2.pdf --cores 2 --forcerun $(smoothing differing recorded fig2)")


def test_what_differs_in_code_alone_is_listed_apart_and_can_be_adopted(planned):
    figures = [planned.figure("fig9")]
    run = metrics_file(planned.run(IVON))
    by_code = [records.Difference(f"{run}{number}.parquet", "other code made it: a", True) for number in range(4)]
    other = [records.Difference(run, "why")]
    first, second = records.Listing(planned, figures, [*other, *by_code]).text().split("\n\n")
    assert first.startswith("not what config/recorded.yaml asks for") and first.endswith(f"--forcerun {run}")
    assert second.startswith("made by other code than is here") and f"{run}0.parquet and 3 more" in second
    assert second.endswith("$(smoothing differing recorded fig9 --code), or adopt the runs (docs/adopting.md)")
    assert records.Listing(planned, figures, []).text() == ""


def test_label_noise_of_another_run_number_or_specification_is_named_and_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = synthetic.content()
    small = synthetic.small()
    content["figures"] = {"fig4": small["figures"]["fig4"]}
    planned = synthetic.write_scale(SCALE, content)
    figure = planned.figure("fig4")
    for run in figure.runs:
        synthetic.write_metrics(SCALE, run)
        synthetic.write_label_noise(SCALE, run, figure.label_noise_mc_samples)
    assert differing(planned) == {}
    run, samples = figure.runs[0], figure.label_noise_mc_samples
    files = [paths.LABEL_NOISE.format(scale=SCALE, run=one.name, samples=samples) for one in figure.runs]
    for change, what in (
        ({"run": "another"}, "'run' is \"another\""),
        ({"samples": 1}, "'samples' is 1 in its record"),
        ({"specification": {**run.specification, "epochs": 1}}, "'specification.epochs' is 1 in its record"),
    ):
        file = synthetic.write_label_noise(SCALE, run, samples, change)
        assert what in differing(planned)[file]
        with pytest.raises(UserError, match=f"1 of {len(files)} files with label noise record another"):
            synthetic.collected(SCALE, figure, label_noise=files)
    file = synthetic.write_label_noise(SCALE, run, samples, {"code": {}})
    assert differing(planned)[file].startswith("other code made it: ")
