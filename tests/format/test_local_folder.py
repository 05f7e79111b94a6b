"""Folders that are not on this machine are refused in a sentence, and nothing is made here that is called `s3:`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from places import environment

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.format import addresses
from tb_layerview.format.addresses import checked, scheme_of
from tb_layerview.format.places import RemotePath
from tb_layerview.reading import payload_file

ELSEWHERE = ["gs://bucket/run", "s3://bucket", "hdfs://host:9000/logs/a", "S3A://b/c", "my-store+x.1://where"]
WORDS = "is not a folder on this machine"
X = np.random.default_rng(1).normal(size=(32, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which a folder `s3:` would be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed that opens stores, and TensorFlow not loaded."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(addresses, "_is_registered", lambda _: False)


@pytest.mark.parametrize("logdir", [*ELSEWHERE, "file://server/logs"])
def test_what_is_elsewhere_is_refused_with_the_way_out(logdir: str, bare: None) -> None:
    with pytest.raises(ValueError, match=f"^'{logdir[:4]}.* {WORDS}.*ive a local folder") as raised:
        checked(logdir)
    assert f"{logdir.partition(':')[0].lower()}://" in str(raised.value)


@pytest.mark.parametrize("logdir", ["viewfs://host/a", "my-store+x.1://where"])
def test_an_unknown_scheme_is_answered_with_those_that_are_known(logdir: str) -> None:
    scheme = logdir.partition(":")[0]
    with pytest.raises(ValueError, match=f"{re.escape(scheme)}:// is not opened here") as raised:
        checked(logdir)
    for words in ("s3:// (pip install s3fs)", "gs:// (pip install gcsfs)", "(pip install adlfs)"):
        assert words in str(raised.value)


def test_a_password_in_an_address_is_not_said() -> None:
    with pytest.raises(ValueError, match="^'ftp://me:…@host/logs' is not") as raised:
        checked("ftp://me:secret@host/logs")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("logdir", "shown"),
    [
        ("s3://AKIA1:hid/den@bucket/run", "s3://AKIA1:…@bucket/run"),
        ("S3://AKIA1:hidden", "S3://AKIA1:…"),
        ("hdfs://me:hidden@host:9000/logs", "hdfs://me:…@host:9000/logs"),
        ("s3:/AKIA1:hidden@bucket/run", "s3:/AKIA1:…@bucket/run"),
        ("logs/s3://AKIA1:hidden@bucket/run", "logs/s3://AKIA1:…@bucket/run"),
        ("https://x.example/c/k?sv=1&sig=hidden", "https://x.example/c/k?…"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_said(
    logdir: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with pytest.raises(ValueError, match=f"^'{re.escape(shown)}' is not a folder on this machine") as raised:
        checked(logdir)
    assert "hid" not in str(raised.value)
    with pytest.raises(NotADirectoryError) as refused:
        LayerReader(logdir)
    assert "hid" not in str(refused.value)


def test_a_port_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    for logdir in ("hdfs://me@host:9000/a@b:c", "hdfs://[::1]:9000/logs", "abfs://c@account.dfs.core.windows.net/x:y"):
        assert checked(logdir) == logdir


@pytest.mark.parametrize(
    ("logdir", "package", "extra"),
    [("s3://b/run", "s3fs", "s3"), ("GS://b", "gcsfs", "gcs"), ("abfs://c@a/run", "adlfs", "azure")],
)
def test_a_package_that_is_missing_is_named(
    logdir: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(addresses, "_is_registered", lambda _: False)
    scheme = logdir.partition(":")[0].lower()
    with pytest.raises(ValueError, match=f"{scheme}:// is opened by the package {package}, which is not") as raised:
        checked(logdir)
    assert f"pip install {package}" in str(raised.value) and f"'tb_layerview[{extra}]'" in str(raised.value)


def test_with_its_package_an_address_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert checked("S3://bucket/Run 1//") == "s3://bucket/Run 1"
    assert [scheme_of(path) for path in ("s3://bucket/run", "C:/logs", "a:b", "logs")] == ["s3", None, None, None]
    for logdir in ("s3://", "gs:///", "s3://bucket/gs://other"):
        with pytest.raises(ValueError, match=WORDS):
            checked(logdir)


@pytest.mark.parametrize(
    ("logdir", "address"),
    [
        (PurePosixPath("gs://bucket/run"), "gs://bucket/run"),
        (PurePosixPath("s3://"), "s3://"),
        (PureWindowsPath("s3://bucket/run"), "s3://bucket\\run"),
        (os.path.abspath("/work/s3://bucket/run"), "s3://bucket/run"),
        ("HDFS:/logs", "HDFS://logs"),
    ],
)
def test_what_pathlib_leaves_of_an_address_is_said_to_be_that(logdir: Any, address: str) -> None:
    with pytest.raises(ValueError, match=f"{WORDS}, but what pathlib.Path or os.path leave") as raised:
        checked(logdir)
    assert "as a string, or give a local folder" in str(raised.value) and repr(address) in str(raised.value)


@pytest.mark.parametrize("logdir", ["logs/s3://bucket", " gs://bucket/run", "simplecache::s3://bucket/run"])
def test_an_address_within_a_path_is_refused(logdir: str) -> None:
    with pytest.raises(ValueError, match=f"{WORDS}, nor an address: (s3|gs):// stands within it"):
        checked(logdir)


@pytest.mark.parametrize(
    "logdir",
    [
        "logs",
        "/logs/a",
        "C:\\logs\\run1",
        "C:/logs/run1",
        "\\\\server\\logs",
        "~/logs",
        "a:b",
        "12:30:00/x",
        "odd:/x",
        "gs:x",
        "logs:s3/a",
        "",
    ],
)
def test_a_local_folder_stays_what_it_is(logdir: str) -> None:
    assert checked(logdir) == logdir


@pytest.mark.parametrize(
    ("logdir", "path"),
    [("file:///logs/a b", "/logs/a b"), ("file://localhost/logs", "/logs"), ("file:///C:/logs", "C:/logs")],
)
def test_a_file_of_this_machine_is_its_path(logdir: str, path: str) -> None:
    assert checked(logdir) == path


def test_what_is_written_to_a_file_address_is_read_from_the_folder(here: Path) -> None:
    with LayerWriter(f"file://{here}/logs") as writer:
        writer.write(3, {"a": X})
    assert LayerReader(here / "logs").run().steps.tolist() == [3]
    assert LayerReader(f"file://{here}/logs").run().steps.tolist() == [3]
    assert [path.name for path in here.iterdir()] == ["logs"]


@pytest.mark.parametrize("logdir", ELSEWHERE)
def test_the_writer_and_the_reader_refuse_it(logdir: str, here: Path, bare: None) -> None:
    with pytest.raises(ValueError, match=WORDS):
        LayerWriter(logdir)
    with pytest.raises(NotADirectoryError, match=WORDS):
        LayerReader(logdir)
    assert not list(here.iterdir())


def test_the_commands_refuse_it(here: Path, bare: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "gs://bucket/run"]) == 2
    assert WORDS in capsys.readouterr().err
    assert cli.main(["demo", "--no-serve", "--logdir", "s3://bucket"]) == 2
    assert WORDS in capsys.readouterr().err
    (here / "train.py").write_text("print('began')")
    command = [sys.executable, "-m", "tb_layerview", "--logdir", "viewfs://bucket/run", "train.py"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=100)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"--logdir: 'viewfs://bucket/run' {WORDS}" in ended.stderr
    assert [path.name for path in here.iterdir()] == ["train.py"]


def test_the_callback_and_the_recorder_refuse_it_at_once(here: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    from tb_layerview import LayerRecorder, LayerViewCallback

    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=WORDS):
        LayerViewCallback("viewfs://bucket/run")
    with pytest.raises(ValueError, match=WORDS):
        LayerRecorder(model, "viewfs://bucket/run", probe=X)
    assert not list(here.iterdir())


def test_the_hook_says_it_once_and_the_training_goes_on(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    tf = pytest.importorskip("tensorflow")
    from tb_layerview import LayerViewHook

    def train(*hooks: Any) -> np.ndarray:
        tf1 = tf.compat.v1
        with tf.Graph().as_default():
            tf1.set_random_seed(3)
            kernel = tf1.get_variable("dense/kernel", (4, 1))
            loss = tf.reduce_mean(tf.square(tf.matmul(tf.constant(X), kernel) - 1))
            minimize = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, tf1.train.get_or_create_global_step())
            with tf1.train.SingularMonitoredSession(hooks=list(hooks)) as session:
                for _ in range(3):
                    session.run(minimize)
                return np.asarray(session.run(kernel))

    np.testing.assert_array_equal(train(LayerViewHook("viewfs://bucket/run")), train())
    (told,) = [record.getMessage() for record in caplog.records if record.name == "tb_layerview"]
    assert WORDS in told and told.endswith("Nothing is logged; the training goes on.")
    assert not list(here.iterdir())


@pytest.mark.estimator
def test_an_estimator_that_lies_elsewhere_is_logged_there(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    import tensorflow as tf

    from tb_layerview import LayerViewHook

    def model_fn(features: Any, labels: Any, mode: Any) -> Any:
        loss = tf.reduce_mean(tf.square(tf.compat.v1.layers.dense(features, 1) - labels))
        step = tf.compat.v1.train.get_global_step()
        train_op = tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    estimator = tf.estimator.Estimator(model_fn, "ram://model")  # a file system of TensorFlow's own

    def data() -> Any:
        return tf.data.Dataset.from_tensors((X, X[:, :1])).repeat()

    estimator.train(data, hooks=[LayerViewHook(estimator.model_dir)], steps=3)
    estimator.evaluate(data, hooks=[LayerViewHook(estimator.model_dir)], steps=2)
    assert int(estimator.get_variable_value("global_step")) == 3
    reader = LayerReader("ram://model")
    assert [(run.name, run.steps.tolist(), run.problems) for run in reader.runs()] == [
        (".", [1, 2, 3], ()),
        ("evaluate", [3], ()),
    ]
    assert not [record for record in caplog.records if record.name == "tb_layerview"]
    assert not list(here.iterdir())


def test_payloads_in_a_store_that_nothing_opens_are_answered_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    piece = payload_file.Piece("1-w", 0, 4, 0)
    with pytest.raises(payload_file.PayloadError, match="^s3://b/run cannot be read: .*pip install s3fs"):
        payload_file.read(RemotePath("s3://b/run"), piece)
    with pytest.raises(payload_file.PayloadError, match="cannot be read: .*viewfs:// is not opened here"):
        payload_file.read(RemotePath("viewfs://host/run"), piece)
