"""What an element of a feature map is said to see of the input, held against TensorFlow's gradient of that element."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import box_of, open_tab
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerViewCallback

pytestmark = pytest.mark.e2e

#: Of the input: strides and pooling leave something over along both axes.
ROWS, COLUMNS = 27, 22
#: The first and the last row, the first and the last column.
Ends = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def model() -> Any:
    """A net with a stride of 2 and "same" padding, a pooling, a dilation, a skip and a transposed convolution."""
    import tensorflow as tf

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((ROWS, COLUMNS, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="half")(image)
    x = layers.BatchNormalization(name="norm")(x)
    skipped = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="tanh", name="dilated")(skipped)
    x = layers.Add(name="add")([skipped, x])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(4, 2, name="conv")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(x)
    x = layers.GlobalAveragePooling2D(name="all_places")(x)
    return tf.keras.Model(image, layers.Dense(3, name="classes")(x))


@pytest.fixture(scope="module")
def between() -> Any:
    """A net that computes something between its layers: first of each place by itself, then of all rows."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((ROWS, COLUMNS, 1))
    x = layers.Conv2D(4, 3, padding="same", name="first")(image)
    x = keras.ops.relu(layers.Conv2D(4, 3, padding="same", name="second")(x)) + 0.5 * x
    x = layers.Conv2D(4, 3, strides=2, name="of_sum")(x)
    x = layers.Conv2D(4, 3, padding="same", name="of_roll")(keras.ops.roll(x, 3, axis=1))
    x = layers.Conv2D(4, 3, name="after")(x)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory, model: Any, between: Any) -> Path:
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("seen")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, ROWS, COLUMNS, 1)).astype(np.float32)
    y = rng.integers(3, size=32)
    for name, net in (("net", model), ("between", between)):
        net.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        net.fit(x, y, batch_size=16, verbose=0, callbacks=[LayerViewCallback(folder / name)])
    return folder


def _by_gradient(model: Any, layer: str, index: tuple[int, ...]) -> Ends:
    """Where the gradient of an element with respect to the input is not zero for any of many inputs."""
    import tensorflow as tf

    upto = tf.keras.Model(model.input, model.get_layer(layer).output)
    # ReLU and pooling let through what depends on the input; of many, some let each place through.
    images = tf.constant(np.random.default_rng(1).normal(size=(512, ROWS, COLUMNS, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        element = tf.reduce_sum(upto(images, training=False)[(slice(None), *index[1:])])
    seen = np.abs(tape.gradient(element, images).numpy()).max((0, 3)) > 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _said(frame: Frame) -> tuple[tuple[int, ...], Ends]:
    """The element that the readout is of, and what it says that this sees."""
    readout = frame.get_by_test_id("readout")
    words = readout.inner_text()
    index = tuple(json.loads(f"[{readout.get_attribute('data-index')}]"))
    if "sees all of the input" in words:
        return index, (0, ROWS - 1, 0, COLUMNS - 1)
    found = re.search(r"sees rows? (\d+)(?:–(\d+))?, columns? (\d+)(?:–(\d+))? of the input", words)
    assert found, words
    top, bottom, left, right = found.groups()
    return index, (int(top), int(bottom or top), int(left), int(right or left))


def _outlined(frame: Frame) -> Ends:
    """The rows and columns in the frame on the input."""
    whole, part = box_of(frame.get_by_test_id("example-picture")), box_of(frame.locator(".lv-seen"))
    top, left = (part["y"] - whole["y"]) / whole["height"], (part["x"] - whole["x"]) / whole["width"]
    below, behind = top + part["height"] / whole["height"], left + part["width"] / whole["width"]
    return round(top * ROWS), round(below * ROWS) - 1, round(left * COLUMNS), round(behind * COLUMNS) - 1


@pytest.mark.parametrize("layer", ["half", "relu", "dilated", "add", "pool", "conv", "up"])
def test_an_element_sees_where_its_gradient_is_not_zero(
    page: Page, server: TensorBoardServer, model: Any, layer: str
) -> None:
    _points_at_elements(page, server, model, "net", layer)


def _points_at_elements(page: Page, server: TensorBoardServer, model: Any, run: str, layer: str) -> None:
    """Compares what is said of some elements with the framework's gradients."""
    frame = open_tab(page, server, "example-picture", run=run, layer=layer, kind="activation", name="output", step=1)
    picture = frame.get_by_test_id("picture")
    before = box_of(picture)
    seen = set()
    # In the first panel and in the last one; at the edge, and away from it.
    for right, down in ((0.02, 0.06), (0.2, 0.2), (0.35, 0.4), (0.8, 0.75), (0.98, 0.98)):
        page.mouse.move(before["x"] + right * before["width"], before["y"] + down * before["height"])
        if frame.get_by_test_id("readout").get_attribute("data-index") is None:
            continue  # between two panels
        index, said = _said(frame)
        assert said == _by_gradient(model, layer, index), index
        assert _outlined(frame) == said
        seen.add(index)
    assert len(seen) >= 3
    assert box_of(picture) == before, "the picture stays below the pointer"


def test_the_cursor_of_the_keys_sees_as_much_and_the_rest_says_nothing(
    page: Page, server: TensorBoardServer, model: Any
) -> None:
    fields: dict[str, Any] = {"run": "net", "kind": "activation", "name": "output", "step": 1}
    frame = open_tab(page, server, "example-picture", layer="conv", **fields)
    frame.get_by_test_id("picture").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    index, said = _said(frame)
    assert index == (0, 1, 1, 0) and said == _by_gradient(model, "conv", index)
    assert _outlined(frame) == said
    for _ in range(2):
        page.keyboard.press("Escape")
    expect(frame.locator(".lv-seen")).to_have_count(0)
    # Of what has no rows and columns, and of the input itself.
    for layer in ("all_places", "input"):
        frame = open_tab(page, server, "picture", layer=layer, **fields)
        frame.get_by_test_id("picture").focus()
        page.keyboard.press("ArrowRight")
        expect(frame.get_by_test_id("readout")).to_have_attribute("data-index", re.compile(r"\d"))
        expect(frame.get_by_test_id("readout")).not_to_contain_text("sees")


def test_through_what_a_model_computes_place_by_place_between_its_layers_an_element_sees(
    page: Page, server: TensorBoardServer, between: Any
) -> None:
    _points_at_elements(page, server, between, "between", "of_sum")


@pytest.mark.parametrize("layer", ["of_roll", "after"])
def test_behind_what_a_model_computes_of_other_places_nothing_is_said(
    page: Page, server: TensorBoardServer, layer: str
) -> None:
    fields: dict[str, Any] = {"run": "between", "kind": "activation", "name": "output", "step": 1}
    frame = open_tab(page, server, "example-picture", layer=layer, **fields)
    frame.get_by_test_id("picture").focus()
    page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("readout")).to_have_attribute("data-index", re.compile(r"\d"))
    expect(frame.get_by_test_id("readout")).not_to_contain_text("sees")
    expect(frame.locator(".lv-seen")).to_have_count(0)
