"""A module is logged with the line of a person's own code at which it is called."""

from __future__ import annotations

import gc
import linecache
import os
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from places import environment
from torch import nn

import tb_layerview as lv
from tb_layerview import Keep, LayerReader
from tb_layerview.capture.passes import calls
from tb_layerview.capture.passes.sources import CELL, own_file, source_of

NETS = """
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32, 4))

    def forward(self, x):
        x = self.relu(self.conv(x))  # here: conv
        x = self.relu(
            x + 1
        )
        return checkpoint(self.finish, x, use_reentrant=False)

    def finish(self, x):
        return self.head(x)  # here: head
"""
X, Y = torch.randn(4, 1, 6, 6), torch.arange(4)


def line(text: str, mark: str) -> int:
    """Where a file has the mark."""
    (number,) = (i for i, of in enumerate(text.splitlines(), 1) if of.endswith(f"# here: {mark}"))
    return number


def sources(model: nn.Module, folder: Path, x: Any = X, **given: Any) -> dict[str, list[str]]:
    """Where each module is called, as the log of one step says it."""
    with lv.LayerRecorder(model, folder, probe=(x, Y), loss=nn.functional.cross_entropy, **given) as recorder:
        recorder.record(0)
    return {layer.path: [str(source) for source in layer.sources] for layer in LayerReader(folder).run().layers}


def made(text: str, path: Path | str) -> Any:
    """What a file of this text defines."""
    names: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), names)
    return SimpleNamespace(**names)


def test_each_call_of_a_module_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = sources(made(NETS, tmp_path / "nets" / "block.py").Block(), tmp_path / "log")
    conv = line(NETS, "conv")
    assert found["conv"] == [f"nets/block.py:{conv}"]
    assert found["relu"] == [f"nets/block.py:{conv}", f"nets/block.py:{conv + 1}"]
    # Called by a Sequential, which is called within a checkpoint: the innermost line that is a person's own.
    assert found["head/0"] == found["head/1"] == [f"nets/block.py:{line(NETS, 'head')}"]


def test_modules_that_a_library_calls_have_none_but_the_place_of_their_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = NETS.replace("return self.head(x)", "return 2 * self.head(x)")  # an output of its own
    block = made(text, tmp_path / "site-packages" / "zoo" / "block.py").Block()
    found = sources(nn.Sequential(block), tmp_path / "log")
    assert found["0/conv"] == found["0/head/1"] == []
    assert found["0"] == [f"defined in zoo/block.py:{NETS.splitlines().index('    def forward(self, x):') + 1}"]


def test_files_are_named_without_a_word_of_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "somebody"
    (home / "work" / "sub").mkdir(parents=True)
    (home / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "work")
    assert own_file(str(home / "work" / "sub" / "net.py")) == "sub/net.py"
    assert own_file(str(home / "elsewhere" / "net.py")) == "net.py"
    monkeypatch.syspath_prepend(str(home / "elsewhere"))
    assert own_file(str(home / "elsewhere" / "nets" / "net.py")) == "nets/net.py"
    monkeypatch.chdir(tmp_path)  # above the home folder
    assert own_file(str(home / "third" / "net.py")) == "net.py"
    assert own_file(str(tmp_path / "net.py")) == "net.py"


def test_neither_a_user_nor_whose_homes_lie_below_the_working_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    assert own_file(str(tmp_path / "data" / "nets" / "net.py")) == "nets/net.py"
    assert own_file(str(tmp_path / "data" / "somebody" / "nets" / "net.py")) == "net.py"
    monkeypatch.setattr("os.getcwd", lambda: "/home")  # of others than the user, too
    assert own_file("/home/another/net.py") == "net.py"


def test_what_is_no_file_of_ones_own_has_no_name() -> None:
    for path in ("<string>", "<stdin>", "<frozen importlib._bootstrap>", os.__file__, torch.__file__, lv.__file__):
        assert own_file(path) is None, path
    for path in ("<ipython-input-3-abc>", "/tmp/ipykernel_12/3456.py"):
        assert own_file(path) == CELL


def test_a_working_folder_by_a_link_and_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "link")
    assert own_file(str(tmp_path / "link" / "nets" / "a.py")) == own_file(str(tmp_path / "real" / "nets" / "a.py"))
    assert own_file(str(tmp_path / "real" / "nets" / "a.py")) == "nets/a.py"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert own_file(str(tmp_path / "b.py")) == "b.py"


def test_code_without_a_file_is_logged_without_a_place(tmp_path: Path) -> None:
    found = sources(made(NETS, "<string>").Block(), tmp_path / "log")
    assert found["conv"] == []
    cell = f"{tmp_path}/ipykernel_77/1234.py"
    linecache.cache[cell] = (len(NETS), None, NETS.splitlines(keepends=True), cell)
    found = sources(made(NETS, cell).Block(), tmp_path / "cell")
    assert found["conv"] == [f"{CELL}:{line(NETS, 'conv')}"]


def test_nothing_of_it_is_kept_if_that_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = made(NETS, tmp_path / "nets" / "block.py").Block()
    assert not any(sources(block, tmp_path / "log", keep=Keep(source=False)).values())
    assert b"block.py" not in b"".join(path.read_bytes() for path in (tmp_path / "log" / "layers").iterdir())


def test_what_is_found_says_where_while_it_trains_and_in_the_terminal(tmp_path: Path) -> None:
    script = NETS + (
        "import tb_layerview as lv\n"
        "model = Block()\n"
        "with lv.LayerRecorder(model, 'log', probe=torch.ones(2, 1, 6, 6), schedule=1) as recorder:\n"
        "    torch.nn.init.constant_(model.conv.weight, 3e38)\n"
        "    recorder.record(0)\n"
    )
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    run = {"cwd": tmp_path, "env": environment(OMP_NUM_THREADS="1"), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "train.py"], check=True, timeout=900, **run)  # type: ignore[call-overload]
    words = f"activation 'output' of layer 'conv' (train.py:{line(NETS, 'conv')}) holds 64 +inf among its 64 elements"
    assert words in done.stderr
    checked = subprocess.run([sys.executable, "-m", "tb_layerview.commands.cli", "check", "log"], check=False, **run)  # type: ignore[call-overload]
    assert words in checked.stdout


def test_the_stack_is_looked_at_in_the_first_pass_alone_and_no_frame_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def counted(layer: Any, *given: Any) -> Any:
        looked.append(type(layer).__name__)
        return source_of(layer, *given)

    monkeypatch.setattr(calls, "source_of", counted)
    held: list[weakref.ref[Any]] = []

    class Local:
        """What only a frame of the module's call holds."""

    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            local = Local()
            held.append(weakref.ref(local))
            return self.dense(x)

    with lv.LayerRecorder(Holding(), tmp_path, torch.ones(4, 3), schedule=1) as recorder:
        recorder.record(0)
        at_set_up = len(looked)
        assert set(looked) == {"Holding", "Linear"}
        gc.disable()  # what a frame held would wait for it
        try:
            passes = len(held)
            for step in range(1, 4):
                recorder.record(step)
            assert len(held) == passes + 3
            assert [ref() for ref in held[passes:]] == [None, None, None]
        finally:
            gc.enable()
    assert len(looked) == at_set_up
