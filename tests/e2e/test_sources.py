"""Where a layer is called stands in the finding and in the detail, as text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

import tensorflow as tf
from layers_tab import PICTURES, open_tab, settled
from playwright.sync_api import Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerViewCallback

pytestmark = pytest.mark.e2e


class Network(tf.keras.Model):  # type: ignore[misc]
    """Its logarithm takes what may be zero."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = tf.keras.layers.Dense(8, "relu", name="hidden")
        self.log = tf.keras.layers.Lambda(tf.math.log, name="log")
        self.out = tf.keras.layers.Dense(1, name="out")

    def call(self, x: Any) -> Any:
        x = self.hidden(x)
        x = self.log(x)  # here
        return self.out(x)


def line() -> int:
    text = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, of in zip(itertools.count(1), text) if of.endswith("# here"))


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    tf.keras.utils.set_random_seed(2)
    model = Network()
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    model.fit(
        x, x[:, :1], batch_size=32, epochs=1, verbose=0, callbacks=[LayerViewCallback(folder / "run", schedule=1)]
    )
    return folder


def test_the_finding_and_the_detail_say_where_the_layer_is_called(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "lead-finding", run="run")
    place = f"test_sources.py:{line()}"
    expect(frame.get_by_test_id("lead-finding")).to_contain_text("in 'log' ")
    expect(frame.get_by_test_id("lead-finding")).to_contain_text(place)
    frame.get_by_test_id("show-finding").click()
    source = frame.get_by_test_id("source")
    expect(source).to_contain_text(place)
    assert f"line {line()}" in (source.get_attribute("title") or "")
    assert source.locator("a").count() == 0
    frame.get_by_test_id("all-findings").click()
    expect(frame.get_by_test_id("evidence-words")).to_contain_text(place)
    frame.locator("[data-testid=layer-row][data-path=hidden]").click()
    expect(source).to_contain_text(f"test_sources.py:{line() - 1}")
    page.mouse.move(0, 0)
    settled(frame)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / "source.png"))
