"""What only TensorFlow opens, `ram://`, is read by `tf.io.gfile` as from a folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import environment

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.format import remote_storage
from tb_layerview.format.addresses import checked, is_gfiles
from tb_layerview.format.gfile_storage import GFileSystem
from tb_layerview.format.places import Range, RemotePath
from tb_layerview.reading.payload_file import PayloadError

KERNELS = np.random.default_rng(5).normal(size=(6, 40, 30)).astype(np.float32)


@pytest.fixture
def gfile() -> Any:
    tf = pytest.importorskip("tensorflow")
    yield tf.io.gfile
    if tf.io.gfile.exists("ram://logs"):
        tf.io.gfile.rmtree("ram://logs")


def test_a_log_that_tensorflow_keeps_is_read_as_from_the_folder(tmp_path: Path, gfile: Any) -> None:
    with LayerWriter(tmp_path / "deep" / "run", keep=Keep(precision="float32")) as writer:
        for step in range(6):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(3)}, "weight")
    store = remote_storage.store_of(RemotePath("ram://logs"))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            store.put(RemotePath(f"ram://logs/{file.relative_to(tmp_path).as_posix()}"), file.read_bytes())
    assert checked("RAM://logs/") == "ram://logs"
    reader, local = LayerReader("ram://logs"), LayerReader(tmp_path).run("deep/run")
    assert reader.names() == ["deep/run"]
    run = reader.run("deep/run")
    assert (run.problems, run.ended, run.writers) == ((), True, local.writers)
    np.testing.assert_array_equal(run.steps, local.steps)
    np.testing.assert_array_equal(run.statistics("rms"), local.statistics("rms"))
    for tensor in run.tensors:
        for step in range(6):
            assert run.payload("values", tensor, step) == local.payload("values", tensor, step)
    for name in store.files(RemotePath("ram://logs/deep/run/layers"), lambda name: name.endswith(".payload")):
        gfile.remove(f"ram://logs/deep/run/layers/{name}")
    with pytest.raises(PayloadError, match="ram://logs/deep/run/layers/layerview.*payload is missing"):
        LayerReader("ram://logs").run("deep/run").payload("values", 0, 3)


def test_ranges_and_what_is_not_there(gfile: Any) -> None:
    store = remote_storage.store_of(RemotePath("ram://logs"))
    file = RemotePath("ram://logs/a/x")
    store.put(file, b"0123456789")
    with store.reader() as reader:
        assert reader.read([Range(file, 2, 3), Range(file, 8, 9), Range(file, 10, 1), Range(file, 40, 1)]) == [
            b"234",
            b"89",
            b"",
            b"",
        ]
        (missing,) = reader.read([Range(RemotePath("ram://logs/a/y"), 0, 1)])
    assert isinstance(missing, FileNotFoundError) and "it is not there" in str(missing.strerror)
    store.put(file, b"longer than it was")
    assert store.files(RemotePath("ram://logs/a"), age=0.0) == {"x": 18}
    assert store.is_folder(RemotePath("ram://logs/a")) and not store.is_folder(file)
    with pytest.raises(NotADirectoryError, match="'ram://logs/none' cannot be read: .*it is not there"):
        LayerReader("ram://logs/none")
    assert GFileSystem().find("ram://logs/none") == {}


def test_tensorflow_is_not_loaded_to_open_an_address(tmp_path: Path) -> None:
    """Nor fsspec for a folder of this machine."""
    program = (
        "import sys\n"
        "from tb_layerview.format.addresses import checked\n"
        "from tb_layerview import LayerReader, LayerWriter\n"
        "with LayerWriter('logs') as writer: writer.write(0, {'a': __import__('numpy').ones((4, 4), 'f')})\n"
        "assert LayerReader('logs').run().steps.tolist() == [0]\n"
        "assert 'fsspec' not in sys.modules\n"
        "try: checked('ram://logs')\n"
        "except ValueError as error: print(error)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ram:// is not opened here" in done.stdout


def test_what_both_know_is_opened_by_fsspec(gfile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "gs" in gfile.get_registered_schemes() and not is_gfiles("s3") and is_gfiles("ram")
    assert is_gfiles("gs") == (importlib.util.find_spec("gcsfs") is None)
    assert not is_gfiles("file") and not is_gfiles("")
