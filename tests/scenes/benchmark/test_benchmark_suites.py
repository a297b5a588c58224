"""Suites: what is read, what is refused and how it is said, and what makes a job another job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recon.config.files import from_dict
from recon.config.values import RunConfig
from recon.errors import DataError, UsageError
from scenes import signals
from scenes.benchmark import suite as suites
from scenes.benchmark.suite import Entry, data_fingerprint, plan, read_suite, suite_names
from scenes.library import base_name, names


def written(folder: Path, *entries: dict, name: str = "own.yaml", **more) -> suites.Suite:
    path = folder / name
    path.write_text(yaml.safe_dump({"about": "a test", "jobs": list(entries), **more}))
    return read_suite(str(path))


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_can_be_run(name, tmp_path):
    """Every scene exists, every setting fits, and no two jobs are the same."""
    suite = read_suite(name)
    (tmp_path / "photos").mkdir()
    jobs = plan(suite, [tmp_path / "photos"] if name == "real" else [])
    assert jobs
    assert len({job.name for job in jobs}) == len(jobs)
    assert all(base_name(job.scene) in (*names(), *signals.names(), "photos") for job in jobs)
    assert len(suite.content.about) > 10


def test_the_expected_suites_are_there():
    assert set(suite_names()) >= {"smoke", "cad", "captures", "surface", "fields", "signals", "real"}


def test_the_suite_of_fields_crosses_everything(tmp_path):
    """Five kinds of things by four fields, each once."""
    kinds, fields = ("image", "sdf", "volsdf", "radiance", "nef"), ("hashgrid", "neurbf", "rbfnet", "mlp")
    found = [(job.method, job.config.field) for job in plan(read_suite("fields"))]
    assert sorted(found) == sorted((k, f) for k in kinds for f in fields)


def test_all_combinations_in_order(tmp_path):
    entry = {"scenes": ["scenes:duck", "scenes:cam"], "methods": ["volsdf", "radiance"], "seeds": [3, 4], "set": ["train.steps=7"]}
    jobs = plan(written(tmp_path, entry))
    assert [(j.scene, j.method, j.config.seed) for j in jobs] == [
        (s, m, seed) for s in ("duck", "cam") for m in ("volsdf", "radiance") for seed in (3, 4)
    ]
    assert all(isinstance(j.config, RunConfig) and j.config.train.steps == 7 for j in jobs)


def test_the_same_job_twice_is_one(tmp_path):
    assert len(plan(written(tmp_path, {"scenes": ["scenes:duck"]}, {"scenes": ["scenes:duck"], "label": "again"}))) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jobs: [{scnes: [scenes:duck]}]", ("jobs[0]", "scnes")),
        ("job: []", ("unknown key 'job'",)),
        ("jobs: []", ("'jobs' is empty",)),
        ("jobs: {a: 1}", ("expected a list",)),
        ("- 1", ("expected a mapping",)),
        ("jobs: [1]", ("jobs[0]", "expected a mapping")),
        ("jobs: [{methods: [volsdff]}]", ("jobs[0].methods[0]", "volsdff")),
        ("jobs: [{fields: [7]}]", ("jobs[0].fields[0]", "7")),
        ("jobs: [{seeds: [one]}]", ("jobs[0].seeds[0]", "one")),
        ("jobs: [{seeds: 1}]", ("jobs[0].seeds", "expected a list")),
        ("jobs: [", ("YAML",)),
    ],
)
def test_what_cannot_be_read_is_named(text, says, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DataError if text == "jobs: [" else UsageError) as error:  # what is not YAML at all is a damaged file
        read_suite(str(path))
    for word in (str(path), *says):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("entry", "error", "says"),
    [
        ({"scenes": ["scenes:teapot"]}, UsageError, "teapot"),
        ({"scenes": ["scenes:duck"], "set": ["train.stepz=1"]}, UsageError, "stepz"),
        ({"scenes": ["scenes:duck"], "set": ["train.steps=many"]}, UsageError, "many"),
        ({"scenes": []}, UsageError, "scenes: is empty"),
        ({"scenes": ["scenes:duck"], "seeds": []}, UsageError, "seeds: is empty"),
        ({"scenes": ["nowhere"]}, DataError, "nowhere"),
        ({"scenes": ["scenes:duck", "scenes:cam"], "truth": "x.ply"}, UsageError, "2 scenes"),
        ({"scenes": ["scenes:duck"], "truth": "x.ply"}, DataError, "x.ply"),
        ({}, UsageError, "--data"),
    ],
)
def test_what_does_not_exist_is_named(entry, error, says, tmp_path):
    with pytest.raises(error) as raised:
        plan(written(tmp_path, entry))
    assert says in str(raised.value)
    assert raised.value.hint is not None or error is UsageError


def test_unknown_suite_lists_those_there_are():
    with pytest.raises(UsageError, match="smoke"):
        read_suite("smoek")


def test_folders_for_a_suite_that_names_its_scenes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--data"):
        plan(read_suite("smoke"), [tmp_path])


@pytest.mark.parametrize("different", [True, False])
def test_folders_of_one_name_are_refused(different, tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "images").mkdir(parents=True)
        (tmp_path / parent / "images" / "0.png").write_text(parent if different else "the same")
    with pytest.raises(UsageError, match="both called 'images'"):
        plan(read_suite("real"), [tmp_path / "a" / "images", tmp_path / "b" / "images"])


def test_paths_are_relative_to_the_suite(tmp_path, monkeypatch):
    (tmp_path / "sets" / "data").mkdir(parents=True)
    suite = written(tmp_path / "sets", {"scenes": ["data"]})
    monkeypatch.chdir("/")
    assert plan(suite)[0].source == str((tmp_path / "sets" / "data").resolve())


def make_data(folder: Path) -> Path:
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "0.png").write_bytes(b"a picture")
    (folder / "transforms.json").write_text("{}")
    return folder


def rename(folder: Path) -> None:
    (folder / "train" / "0.png").rename(folder / "train" / "1.png")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda f: (f / "train" / "0.png").write_bytes(b"b picture"), True),
        (lambda f: (f / "extra.txt").write_text(""), True),
        (rename, True),
        (lambda f: (f / ".cache").write_text("hidden"), False),
        (lambda f: (f / "train" / "0.png").touch(), False),
        (lambda f: None, False),
    ],
    ids=["content", "new file", "renamed", "hidden file", "time only", "nothing"],
)
def test_data_fingerprint(change, counts, tmp_path):
    folder = make_data(tmp_path / "data")
    before = data_fingerprint.__wrapped__(str(folder))
    change(folder)
    assert (data_fingerprint.__wrapped__(str(folder)) != before) == counts


def test_what_makes_another_job(tmp_path, monkeypatch):
    """Configuration, data, truth and code do; a label, or another way to write the same configuration, does not."""
    (tmp_path / "a.ply").write_text("a mesh")

    def name(**entry) -> str:
        data_fingerprint.cache_clear()
        (job,) = plan(written(tmp_path, {"scenes": ["scenes:duck"], **entry}))
        return job.name

    usual = name()
    assert name(label="x") == usual
    assert name(set=["train.lr=0.01"]) == usual, "0.01 is the preset's own value"
    others = [name(seeds=[1]), name(set=["train.lr=0.02"]), name(truth="a.ply"), name(presets=["balanced"])]
    (tmp_path / "a.ply").write_text("another mesh")
    others.append(name(truth="a.ply"))
    (tmp_path / "truth").mkdir()
    for text in ("curves", "other curves"):  # a folder stands for everything in it
        (tmp_path / "truth" / "curves.json").write_text(text)
        others.append(name(truth="truth"))
    monkeypatch.setattr(suites, "code_fingerprint", lambda: "other code")
    others.append(name())
    assert len({usual, *others}) == 9


def test_code_fingerprint_sees_sources_but_not_batch_evaluation(tmp_path, monkeypatch):
    for path in ("kernels/a.h", "recon/b.py", "scenes/making/render.py", "scenes/benchmark/report.py", "recon/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    monkeypatch.setattr(suites, "_ROOT", tmp_path)
    fingerprint = suites.code_fingerprint.__wrapped__
    for path, counts in (
        ("kernels/a.h", True),
        ("scenes/making/render.py", True),
        ("scenes/benchmark/report.py", False),
        ("recon/notes.txt", False),
    ):
        before = fingerprint()
        (tmp_path / path).write_text("2")
        assert (fingerprint() != before) == counts, path


def test_the_folder_of_batch_evaluation_exists():
    """A renamed folder would silently become part of every job's hash."""
    assert (suites._ROOT / suites._NOT_PART_OF_RESULTS).is_dir()


def test_a_job_is_written_down_whole(tmp_path):
    """The child process gets exactly the planned configuration."""
    from recon.config.values import RunConfig

    (job,) = plan(written(tmp_path, {"scenes": ["scenes:cam"], "set": ["volsdf.first_step=0.02", "data.downscale=2"]}))
    plain = json.loads(json.dumps(job.to_json()))
    assert from_dict(RunConfig, plain["config"]) == job.config
    assert Entry().scenes is None
