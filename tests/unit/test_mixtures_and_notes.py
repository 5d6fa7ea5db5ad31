"""Mixed results are found and told."""

import copy

import pyarrow as pa
import pytest
from synthetic import as_recorded

from adaptive_smoothing.core import environment, parquet
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.results import collect, consistency, notes
from adaptive_smoothing.training import metrics


def record(method="sam", **changes):
    return {
        "specification": {"method": method, "model": {"name": "small_cnn"}},
        "code": {"training": "aa", f"methods.{method}": "bb"},
        "versions": environment.versions(),
        **changes,
    }


SAME = {"a": record(), "b": record(), "c": record("ls")}
CPU = dict.fromkeys("abc", "cpu")


def test_runs_made_alike_are_not_mixed():
    assert consistency.problems(SAME, CPU) == []
    assert consistency.problems({}, {}) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"code": {"training": "aa", "methods.sam": "cc"}},
            "2 runs of sam with small_cnn were made by 2 states of methods.sam",
        ),
        ({"versions": {**environment.versions(), "torch": "1.0"}}, "runs were made with torch 1.0 and "),
    ],
)
def test_other_code_and_versions_are_told(change, sentence):
    mixed = {**SAME, "b": record(**change)}
    assert [text for text in consistency.problems(mixed, CPU) if text.startswith(sentence)]


def test_other_devices_are_told():
    assert consistency.problems(SAME, {**CPU, "a": "NVIDIA H100"}) == ["runs were made on NVIDIA H100 and cpu"]


@pytest.fixture
def runs(tmp_path):
    """Two runs' metrics files, the second on another device."""
    paths = []
    for name, device in (("a", "cpu"), ("b", "NVIDIA H100")):
        row = {"epoch": 1, "test_accuracy": 0.5, "device": device}
        table = metrics.metrics_table({"run": name, "method": "sam"}, {"rho": 0.1}, [row])
        parquet.write(tmp_path / f"{name}.parquet", table, record())
        paths.append(str(tmp_path / f"{name}.parquet"))
    return paths


def collected(runs, tmp_path, strict):
    description = {"figure": "fig5", "scale": "mine", "title": "Title", "table": "metrics", "options": {}}
    output = tmp_path / "fig5.parquet"
    fields = {"description": description, "runs": ["a", "b"], "metrics": runs, "folders": ["", ""]}
    fields["asked"] = as_recorded(runs)
    collect.collect(**fields, output=str(output), code={}, strict=strict)
    return output


def test_a_mixed_table_says_so_and_strict_forbids_it(runs, tmp_path):
    _, metadata = parquet.read(collected(runs, tmp_path, strict=False))
    assert metadata["mixed"] == ["runs were made on NVIDIA H100 and cpu"]
    (tmp_path / "fig5.parquet").unlink()
    with pytest.raises(UserError, match="figure fig5 is mixed, and strict=true forbids that: runs were made on NVIDIA"):
        collected(runs, tmp_path, strict=True)
    assert not (tmp_path / "fig5.parquet").exists()


def test_notes_tell_mixtures_versions_and_adoptions(tmp_path):
    old = copy.deepcopy(record(versions={**environment.versions(), "torch": "1.0"}))
    old["adopted"] = [{"by": "Ada", "reason": "moved a function"}]
    description = {"figure": "fig5", "title": "Title", "runs": {"a": old, "b": record()}, "mixed": ["a sentence"]}
    parquet.write(tmp_path / "t.parquet", pa.table({"x": [1]}), description)

    def written(policy):
        notes.write("tiny", "a label", [str(tmp_path / "t.parquet")], policy, str(tmp_path / "notes.md"))
        return (tmp_path / "notes.md").read_text()

    text = written("warn")
    assert "## fig5: Title" in text
    assert "- 2 runs" in text
    assert "- WARNING: a sentence" in text
    assert f"- WARNING: 1 runs were made with torch 1.0; {environment.versions()['torch']} is installed now" in text
    assert "- WARNING: 1 runs were made by other code and adopted by Ada: moved a function" in text
    assert "installed now" not in written("ignore")
