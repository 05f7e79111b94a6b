"""`Check`: what happens while a training goes on when something is found."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Check, Finding, LayerReader
from tb_layerview.commands import cli
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.of_run import evidence_of

tf = pytest.importorskip("tensorflow")
import tb_layerview as lv  # noqa: E402

EPOCHS, BATCHES, BAD_EPOCH = 6, 8, 2


def fit(folder: Path, check: Check, bad: bool = True) -> Any:
    """Trains for 48 steps; if `bad`, the labels are NaN from step 17 on, the first of the third epoch."""
    tf.keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)

    def batches() -> Any:
        for step in range(EPOCHS * BATCHES):
            part = slice(8 * (step % BATCHES), 8 * (step % BATCHES) + 8)
            y = x[part, :1] * (np.nan if bad and step >= BAD_EPOCH * BATCHES else 1)
            yield x[part], y

    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(4, name="one"), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = lv.LayerViewCallback(folder, schedule=1, check=check)
    model.fit(batches(), epochs=EPOCHS, steps_per_epoch=BATCHES, verbose=0, callbacks=[callback])
    return model


def test_the_persons_function_gets_each_first_cause_once_on_the_thread_that_trains(tmp_path: Path) -> None:
    got: list[tuple[Finding, str]] = []
    fit(tmp_path, Check(on_finding=lambda finding: got.append((finding, threading.current_thread().name))))
    ((finding, thread),) = got
    assert (finding.rule, finding.severity, finding.first) == ("non_finite", "error", BAD_EPOCH * BATCHES + 1)
    assert thread == threading.main_thread().name
    assert int(LayerReader(tmp_path).run().steps[-1]) == EPOCHS * BATCHES  # and the training went on


def test_an_error_stops_the_training_if_asked_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, Check(stop_on="error"))
    last = int(LayerReader(tmp_path).run().steps[-1])
    assert BAD_EPOCH * BATCHES < last < EPOCHS * BATCHES
    (told,) = [r.getMessage() for r in caplog.records if "stops the training" in r.getMessage()]
    assert "Check(stop_on='error')" in told


def test_what_only_the_end_shows_is_told_at_the_end_and_is_the_same_in_the_log(tmp_path: Path) -> None:
    """A layer that is silent at the last step: no training that goes on has a last step."""
    switch = tf.Variable(1.0, trainable=False)

    class Off(tf.keras.callbacks.Callback):  # type: ignore[misc]
        """Switches the layer off before the last batch, and sees what is known by then."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 7:
                switch.assign(0.0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            known.extend(got)

    got: list[Finding] = []
    known: list[Finding] = []
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    dies = layers.Dense(6, activation=lambda v: tf.nn.relu(v) * switch, name="dies")
    model = tf.keras.Sequential([tf.keras.Input((3,)), dies, layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    callback = lv.LayerViewCallback(tmp_path, schedule=1, check=Check(on_finding=got.append))
    model.fit(x, x[:, :1], batch_size=8, shuffle=False, verbose=0, callbacks=[Off(), callback])
    assert not known
    (finding,) = got
    assert (finding.rule, finding.tensor and finding.tensor.layer, finding.last) == ("silent_layer", "dies", 8)
    run = LayerReader(tmp_path).run()
    assert run.ended and [f.words for f in diagnose(evidence_of(run))] == [finding.words]


def test_a_healthy_training_is_not_stopped(tmp_path: Path) -> None:
    got: list[Finding] = []
    fit(tmp_path, Check(on_finding=got.append, stop_on="warning"), bad=False)
    assert not got
    assert int(LayerReader(tmp_path).run().steps[-1]) == EPOCHS * BATCHES


def test_an_error_in_the_persons_function_is_reported_once_and_the_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(finding: Finding) -> None:
        raise RuntimeError("no mail server")

    fit(tmp_path, Check(on_finding=fails))
    (told,) = [r.getMessage() for r in caplog.records if "no mail server" in r.getMessage()]
    assert "Check(on_finding=...)" in told
    assert int(LayerReader(tmp_path).run().steps[-1]) == EPOCHS * BATCHES


def test_thresholds_hold_while_training(tmp_path: Path) -> None:
    got: list[Finding] = []
    check = Check(
        {"update_ratio.most": 1e-9, "update_ratio.patience": 2}, lambda finding: got.append(finding), stop_on="warning"
    )
    fit(tmp_path, check, bad=False)
    assert {finding.rule for finding in got} == {"update_ratio"}
    assert int(LayerReader(tmp_path).run().steps[-1]) < EPOCHS * BATCHES


def test_a_recorder_says_when_to_stop(tmp_path: Path) -> None:
    x = tf.random.stateless_normal((8, 3), (1, 2))
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with lv.LayerRecorder(model, tmp_path, (x, x[:, :1]), schedule=1, check=Check(stop_on="error")) as recorder:
        recorder.record(0)
        assert not recorder.should_stop
        model.layers[-1].kernel.assign(tf.fill((3, 1), float("nan")))
        for step in range(1, 1000):
            recorder.record(step)
            if recorder.should_stop:
                break
        assert 1 < step < 999


def test_the_hook_stops_a_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tf1 = tf.compat.v1
    got: list[Finding] = []
    with tf1.Graph().as_default():
        x = tf1.placeholder(tf.float32, (None, 3))
        with tf1.variable_scope("dense"):
            kernel = tf1.get_variable("kernel", (3, 1), initializer=tf1.ones_initializer(), use_resource=True)
            output = tf.tanh(tf.matmul(x, kernel))
        step = tf1.train.get_or_create_global_step()
        train = tf1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean((output - 1) ** 2), step)
        hook = lv.LayerViewHook(tmp_path, schedule=1, check=Check(on_finding=got.append, stop_on="error"))
        done = 0
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            while not session.should_stop() and done < 2000:
                done += 1
                fed = np.ones((4, 3), np.float32) * (np.nan if done >= 5 else 1)
                session.run(train, {x: fed})
    assert 5 <= done < 2000
    assert got and got[0].first == 5
    assert any("stops the training" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"on_finding": "print"}, TypeError, "on_finding=...\\) must be a function of a finding, not 'print'"),
        ({"stop_on": "never"}, ValueError, "must be 'error', 'warning' or None, not 'never'"),
        ({"thresholds": {"nothing.share": 1}}, ValueError, "there is no threshold 'nothing.share'; there are"),
        ({"thresholds": [1]}, TypeError, "must map names to numbers"),
    ],
)
def test_wrong_options_are_refused_with_the_way_out(options: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        Check(**options)


def test_what_is_no_check_is_refused() -> None:
    for make in (lv.LayerViewCallback, lv.LayerViewHook):
        with pytest.raises(TypeError, match="check must be a Check"):
            make("logs", check="error")


def test_thresholds_can_be_moved_in_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.disable()  # what is found while it trains
    try:
        fit(tmp_path, Check(), bad=False)
    finally:
        logging.disable(logging.NOTSET)
    assert cli.main(["check", str(tmp_path)]) == 0
    assert cli.main(["check", str(tmp_path), "--threshold", "update_ratio.most=1e-9"]) == 1
    assert "[update_ratio]" in capsys.readouterr().out
    for wrong, words in (("update_ratio.most", "RULE.NAME=NUMBER"), ("update.most=1", "there is no threshold")):
        with pytest.raises(SystemExit):
            cli.main(["check", str(tmp_path), "--threshold", wrong])
        assert words in capsys.readouterr().err


def test_the_command_says_of_a_run_without_steps_why_and_is_not_content_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tb_layerview.writing.training_log import TrainingLog

    session = TrainingLog(tmp_path / "nothing", lv.Schedule(), lv.Keep())
    session.report("the probe", "the model takes 16 rows")
    session.close()
    assert cli.main(["check", str(tmp_path)]) == 2
    assert "'nothing' has no steps: 0 steps logged: the probe: the model takes 16 rows." in capsys.readouterr().err
    with lv.LayerWriter(tmp_path / "good") as writer:
        writer.write(0, {"a": np.ones((4, 3))})
    assert cli.main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "good: nothing found in 1 tensors at 1 steps" in said.out and "'nothing' has no steps" in said.err
