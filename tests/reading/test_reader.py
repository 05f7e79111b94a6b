"""LayerReader: what was logged comes back into numpy. Truth is numpy on the arrays that were given to the writer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.format.framing import masked_crc32c
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.reading.event_file import is_event_file

Arrays = dict[str, npt.NDArray[np.generic]]


def arrays_of(step: int) -> Arrays:
    """A convolution's and a dense layer's output, different at each step."""
    random = np.random.default_rng(step)
    return {
        "conv": np.maximum(random.normal(size=(4, 6, 5, 3)), 0).astype(np.float32),
        "head/dense": random.normal(3, 2, size=(4, 7)),
    }


def write_run(folder: Path, steps: range, keep: Keep = Keep()) -> None:
    with LayerWriter(folder, keep=keep) as writer:
        for step in steps:
            writer.write(step, arrays_of(step), scalars={"loss": 1 / (step + 1)})


def event_file_of(folder: Path) -> Path:
    (path,) = (path for path in (folder / "layers").iterdir() if is_event_file(path.name))
    return path


def test_statistics_are_those_of_the_whole_arrays_at_every_step(tmp_path: Path) -> None:
    write_run(tmp_path, range(40))
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(40))
    for layer in ("conv", "head/dense"):
        tensor = run.tensor(layer)
        for step in range(40):
            array = arrays_of(step)[layer].astype(np.float64)
            expected = {
                "size": array.size,
                "nan": 0,
                "pos_inf": 0,
                "neg_inf": 0,
                "zero": np.count_nonzero(array == 0),
                "negative": np.count_nonzero(array < 0),
                "min": array.min(),
                "max": array.max(),
                "mean": array.mean(),
                "std": array.std(),
                "rms": np.sqrt(np.mean(array**2)),
            }
            for name, value in expected.items():
                assert run.statistics(name)[tensor][step] == pytest.approx(value, rel=1e-12), (layer, step, name)
                assert getattr(run.digest(tensor, step), name) == run.statistics(name)[tensor, step]


def test_nan_and_infinities_are_counted_and_enter_no_other_statistic(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"log": np.array([np.nan, np.inf, np.inf, -np.inf, 3.0, -4.0])})
        writer.write(1, {"log": np.full(6, np.nan)})
    run = LayerReader(tmp_path).run()
    digest = run.digest(run.tensor("log"), 0)
    assert (digest.size, digest.nan, digest.pos_inf, digest.neg_inf) == (6, 1, 2, 1)
    assert (digest.min, digest.max, digest.mean) == (-4.0, 3.0, -0.5)
    assert digest.rms == pytest.approx(np.sqrt(12.5))
    assert run.statistics("nan")[0].tolist() == [1, 6]
    assert np.isnan(run.statistics("rms")[0, 1])


def test_a_tensor_says_its_layer_call_kind_name_shape_and_dtype(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a/conv": np.zeros((2, 4, 4, 3), np.float32)})
        writer.write(0, {"a/conv": np.zeros((2, 4, 4, 3), np.float32)}, call=1)
        writer.write(0, {"a/conv": np.zeros((3, 3, 1, 3), np.float16)}, kind="weight", name="kernel")
    run = LayerReader(tmp_path).run()
    assert [layer.path for layer in run.layers] == ["a/conv"]
    told = [(t.index, t.layer, t.call, t.kind, t.name, t.shape, t.dtype) for t in run.tensors]
    assert told == [
        (0, "a/conv", 0, "activation", "output", (2, 4, 4, 3), "float32"),
        (1, "a/conv", 1, "activation", "output", (2, 4, 4, 3), "float32"),
        (2, "a/conv", 0, "weight", "kernel", (3, 3, 1, 3), "float16"),
    ]
    assert run.tensors[0].axes == ("example", "row", "column", "channel")
    assert run.tensor("a/conv", kind="activation", call=1).index == 1


def test_values_are_those_at_the_indices_that_they_name(tmp_path: Path) -> None:
    write_run(tmp_path, range(3), Keep(activations=60, precision="float32"))
    run = LayerReader(tmp_path).run()
    for layer in ("conv", "head/dense"):
        tensor = run.tensor(layer)
        values = run.values(tensor, 2)
        whole = arrays_of(2)[layer]
        assert [axis.size for axis in values.axes] == list(whole.shape)
        kept = whole[np.ix_(*(axis.indices() for axis in values.axes))]
        assert 1 < kept.size <= 60
        np.testing.assert_array_equal(values.array, kept.astype(np.float32))


def test_quantiles_are_near_those_of_the_array(tmp_path: Path) -> None:
    write_run(tmp_path, range(3))
    run = LayerReader(tmp_path).run()
    fractions = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    for layer in ("conv", "head/dense"):
        array = arrays_of(1)[layer].astype(np.float64)
        # A quantile of few elements lies anywhere between two of them.
        low = np.quantile(array, fractions, method="lower")
        high = np.quantile(array, fractions, method="higher")
        room = np.maximum(0.05 * array.std(), 0.07 * np.maximum(np.abs(low), np.abs(high)))
        found = run.quantiles(run.tensor(layer), 1, fractions)
        assert np.all(found >= low - room)
        assert np.all(found <= high + room)
        assert run.histogram(run.tensor(layer), 1).counts.sum() == array.size


@pytest.mark.covers("What and when: Keep, units")
def test_units_are_statistics_of_the_last_axis(tmp_path: Path) -> None:
    write_run(tmp_path, range(1))
    run = LayerReader(tmp_path).run()
    rows = arrays_of(0)["conv"].reshape(-1, 3).astype(np.float64)
    units = run.units(run.tensor("conv"), 0)
    np.testing.assert_allclose(units.mean, rows.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(units.rms, np.sqrt(np.mean(rows**2, axis=0)), rtol=1e-3)
    np.testing.assert_allclose(units.zero, np.mean(rows == 0, axis=0), rtol=1e-3)
    np.testing.assert_allclose(units.peak, np.abs(rows).max(axis=0), rtol=1e-3)


def test_a_tensor_that_is_not_logged_at_a_step_is_nan_there_and_says_so(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones(3)})
        writer.write(5, {"b": np.full(3, 2.0)})
        writer.write(9, {"a": np.full(3, 3.0)})
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(run.statistics("mean"), [[1, np.nan, 3], [np.nan, 2, np.nan]])
    np.testing.assert_array_equal(run.statistics("size"), [[3, np.nan, 3], [np.nan, 3, np.nan]])
    assert run.kept_steps("histogram", run.tensor("a")).tolist() == [0, 9]
    with pytest.raises(NotLoggedError, match=r"^activation 'output' of layer 'a' was not logged at step 5\.$"):
        run.digest(run.tensor("a"), 5)
    with pytest.raises(NotLoggedError, match="keeps no histogram at step 5; the nearest step that does is 9"):
        run.histogram(run.tensor("a"), 5)


def test_an_empty_tensor_was_logged(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.zeros((0, 4), np.float32)})
    run = LayerReader(tmp_path).run()
    assert run.digest(0, 0).size == 0
    assert np.isnan(run.digest(0, 0).mean)
    assert run.quantiles(0, 0, [0.5]).tolist() == pytest.approx([np.nan], nan_ok=True)


def test_scalars_and_times_stand_beside_the_steps(tmp_path: Path) -> None:
    began = time.time()
    with LayerWriter(tmp_path, mode="evaluate") as writer:
        writer.write(0, {"a": np.ones(3)}, scalars={"loss": 0.5})
        writer.write(1, {"a": np.ones(3)}, scalars={"loss": np.nan, "accuracy": 0.75})
    ended = time.time()
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(run.scalars["loss"], [0.5, np.nan])
    np.testing.assert_array_equal(run.scalars["accuracy"], [np.nan, 0.75])
    assert run.modes == ("evaluate", "evaluate")
    assert np.all(np.diff(run.wall_times) >= 0)
    assert began <= run.wall_times[0] and run.wall_times[-1] <= ended


def test_steps_beyond_one_shard_are_one_history(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(1300):
            writer.write(2 * step, {"a": np.full(2, step)})
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(run.steps, 2 * np.arange(1300))
    np.testing.assert_array_equal(run.statistics("mean")[0], np.arange(1300))
    assert len(run.parts) == 3


def test_runs_are_found_anywhere_below_and_named_by_their_folder(tmp_path: Path) -> None:
    for name in (".", "b", "a/deep/one", "a/deep/one/eval"):
        write_run(tmp_path / name, range(1))
    (tmp_path / "c" / "layers").mkdir(parents=True)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "events.out.tfevents.1.other").write_bytes(b"")
    reader = LayerReader(tmp_path)
    assert reader.names() == [".", "a/deep/one", "a/deep/one/eval", "b"]
    assert [run.name for run in reader.runs()] == reader.names()
    assert reader.run("a/deep/one").folder == tmp_path / "a" / "deep" / "one"


def test_the_folder_layers_itself_can_be_given(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(2))
    assert len(LayerReader(tmp_path / "run" / "layers").run().steps) == 2


def test_a_link_that_leads_back_up_is_not_followed_for_ever(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(1))
    (tmp_path / "run" / "up").symlink_to(tmp_path)
    assert LayerReader(tmp_path).names() == ["run"]


def test_a_run_that_is_being_written_is_read_up_to_its_last_whole_step(tmp_path: Path) -> None:
    write_run(tmp_path, range(3))
    path = event_file_of(tmp_path)
    whole = path.read_bytes()
    lengths = []
    for end in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:end])
        runs = list(LayerReader(tmp_path).runs())
        assert all(run.problems == () for run in runs)
        lengths.append(len(runs[0].steps) if runs else 0)
    assert lengths == sorted(lengths)
    assert set(lengths) >= {0, 1, 2}


def test_a_damaged_step_is_left_out_and_said(tmp_path: Path) -> None:
    write_run(tmp_path, range(3))
    path = event_file_of(tmp_path)
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 1]
    assert len(run.problems) == 1
    assert "is damaged in the" in run.problems[0]


def test_what_comes_after_a_damaged_length_is_not_read_and_said(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones(3)})
        path = event_file_of(tmp_path)
        second = path.stat().st_size
        writer.write(1, {"a": np.ones(3)})
        writer.write(2, {"a": np.ones(3)})
    content = bytearray(path.read_bytes())
    content[second] ^= 1
    path.write_bytes(content)
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0]
    assert run.problems == (
        f"{path} is damaged at byte {second}; the {len(content) - second} bytes from there on are not read",
    )


def test_errors_name_what_there_is(tmp_path: Path) -> None:
    write_run(tmp_path / "run1", range(2))
    reader = LayerReader(tmp_path)
    run = reader.run("run1")
    with pytest.raises(NotLoggedError, match=r"^run 'run1' logs no layer 'convv'; nearest: conv\.$"):
        run.tensor("convv")
    with pytest.raises(
        NotLoggedError, match=r"has no tensor with kind='weight', call=0; it has: kind='activation' name="
    ):
        run.tensor("conv", kind="weight")
    with pytest.raises(NotLoggedError, match=r"^there is no statistic 'median'; there are size, nan,"):
        run.statistics("median")
    with pytest.raises(NotLoggedError, match=r"^run 'run1' did not log step 7; the nearest one is 1\.$"):
        run.values(0, 7)
    with pytest.raises(NotLoggedError, match=r"^run 'run1' has no tensor 2; it has 2, from 0 on\.$"):
        run.values(2, 0)
    with pytest.raises(NotLoggedError, match=r"holds no run 'run2'; nearest: run1\.$"):
        reader.run("run2")
    with pytest.raises(NotADirectoryError, match=r"nowhere' is not a folder\. Give the folder"):
        LayerReader(tmp_path / "nowhere")


def test_a_layer_with_several_tensors_asks_which_one(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"dense": np.zeros((2, 3))})
        writer.write(0, {"dense": np.zeros((4, 3))}, kind="weight")
    with pytest.raises(NotLoggedError, match="has 2 tensors that fit: .* Say which one with kind= and name="):
        LayerReader(tmp_path).run().tensor("dense")


def crc32c(data: bytes) -> int:
    """The checksum itself: TFRecord files store it rotated by 15 bits to the right, plus a constant."""
    rotated = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated << 15 | rotated >> 17) & 0xFFFFFFFF


def test_crc32c_gives_the_published_check_values() -> None:
    # RFC 3720, appendix B.4; 123456789 is the catalogue's own check.
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1023, 1024, 1025, 1027, 2048, 5000])
def test_crc32c_is_tensorboards_own_at_any_length(length: int) -> None:
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == pywrap_tensorflow.crc32c(data)


def names_of_loaded_tensorflow(program: str, folder: Path, path: Path | None = None) -> list[str]:
    """What of TensorFlow is loaded after a program has run in an interpreter of its own."""
    program += "\nimport sys\nprint(*(n for n in sys.modules if n.split('.')[0] in ('tensorflow', 'keras')))"
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), environment.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", program, folder], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


READ_EVERYTHING = """
import sys
import tb_layerview, tb_layerview.serving.loader, tb_layerview.serving.plugin
for run in tb_layerview.LayerReader(sys.argv[1]).runs():
    assert run.values(run.tensor("conv"), 0).array.size
"""


def test_neither_the_package_nor_the_plugin_nor_the_reader_loads_tensorflow(tmp_path: Path) -> None:
    write_run(tmp_path, range(1))
    assert names_of_loaded_tensorflow(READ_EVERYTHING, tmp_path) == []


def test_the_check_that_no_tensorflow_is_loaded_can_fail(tmp_path: Path) -> None:
    write_run(tmp_path, range(1))
    (tmp_path / "path" / "tensorflow").mkdir(parents=True)
    (tmp_path / "path" / "tensorflow" / "__init__.py").write_text("__version__ = '0'\n")
    program = READ_EVERYTHING + "import tensorboard.compat\ntensorboard.compat.tf.__version__\n"
    assert "tensorflow" in names_of_loaded_tensorflow(program, tmp_path, tmp_path / "path")
