"""Many clients at once, who ask for everything of runs that grow."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
from board import Board

from tb_layerview import LayerWriter


def ask_everything(board: Board, run: str, value: float, most: int) -> None:
    """Asks each route once; every answer must be of that run."""
    for step in (0, most):
        assert board.client.json(f"/tensor?run={run}&tensor=0&step={step}")["mean"] == value
        assert board.client.bytes(f"/payload?run={run}&tensor=0&step={step}&section=values")
    column = np.frombuffer(board.client.bytes(f"/statistics?run={run}&kind=activation&statistic=mean"), "<f4")
    assert len(column) >= most + 1 and (column == value).all()
    assert board.client.json(f"/steps?run={run}")["scalars"]["value"][0] == value
    assert board.client.json(f"/run?run={run}")["run"] == run
    units = np.frombuffer(board.client.bytes(f"/units?run={run}&tensor=0&statistic=mean"), "<f4")
    assert (units[-3:] == value).all()
    board.client.get(f"/histograms?run={run}&tensor=0"), board.client.json(f"/findings?run={run}")


def clients_while_a_writer_appends(folder: Path, clients: int, steps: int) -> tuple[int, int]:
    """Threads that ask for everything of runs that grow; returns the server's memory at a quarter and at the end."""
    writers = {f"run{i}": LayerWriter(folder / f"run{i}") for i in range(4)}
    failures: list[BaseException] = []
    done, written = threading.Event(), 0

    def append(step: int) -> None:
        for i, writer in enumerate(writers.values()):
            writer.write(step, {"a": np.full((2, 3), float(i + 1))}, scalars={"value": float(i + 1)})

    append(0)
    board = Board(folder)

    def ask(i: int) -> None:
        try:
            while not done.is_set():
                ask_everything(board, f"run{i % 4}", float(i % 4 + 1), 0)
        except BaseException as error:  # noqa: BLE001  # said by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    tracemalloc.start()
    memory = 0
    for step in range(1, steps):
        append(step)
        if step % 8 == 0:
            board.reload()
        if step == steps // 4:
            memory = tracemalloc.get_traced_memory()[0]
        written = step
    done.set()
    for thread in threads:
        thread.join()
    board.reload()
    ends = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not failures, failures[0]
    for i in range(4):
        ask_everything(board, f"run{i}", float(i + 1), written)
    for writer in writers.values():
        writer.close()
    return memory, ends
