"""Measures how long it takes from the step slider to the painted tensor, over the logs of real trainings."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from playwright.sync_api import Frame, Page

from tb_layerview import LayerViewCallback, Schedule
from tb_layerview.commands import demo

MOVES = 100
#: Between two moves a person looks at what has come.
PAUSE_MILLISECONDS = 120

# How both moves end: with the frame in which what has come is painted.
_PAINTED = """
  await new Promise((resolve) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(0);
    }),
  );
  return performance.now() - start;
}"""

# From the slider's event to the end of the frame in which the picture of another step is painted.
_MOVE = """async (position) => {
  const slider = document.querySelector("[data-testid=step-slider]");
  const picture = document.querySelector("[data-testid=tensor-picture]");
  const before = picture.dataset.step;
  slider.valueAsNumber = position;
  const start = performance.now();
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((resolve) => {
    const look = () => picture.dataset.step !== before && resolve();
    new MutationObserver(look).observe(picture, { attributes: true });
    look();
  });
"""
_MOVE += _PAINTED

# The same on the first screen, where the line of the loss is the slider, and all lanes are painted.
_NETWORK_MOVE = """async (share) => {
  const line = document.querySelector("[data-testid=timeline] [role=slider]");
  const lanes = document.querySelector("[data-testid=lanes]");
  const box = line.getBoundingClientRect();
  const before = lanes.dataset.step;
  const clientX = box.left + share * box.width;
  line.setPointerCapture = () => {};
  const start = performance.now();
  line.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, clientX, clientY: box.top + 5, buttons: 1 }));
  await new Promise((resolve) => {
    const look = () => lanes.dataset.step !== before && lanes.dataset.pending === "false" && resolve();
    new MutationObserver(look).observe(lanes, { attributes: true });
    look();
  });
"""
_NETWORK_MOVE += _PAINTED


def demo_log(folder: str) -> None:
    """The demo's training on handwritten digits."""
    demo.train(folder)


def resnet_log(folder: str) -> None:
    """A ResNet-50 with random weights, about 900 tensors, for 32 steps on pictures of noise."""
    keras = tf.keras
    keras.utils.set_random_seed(2)
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 64, 64, 3), dtype=np.float32), rng.integers(0, 10, 64)
    callback = LayerViewCallback(folder, probe=(x[:8], y[:8]), schedule=Schedule(budget=1.0))
    model.fit(x, y, batch_size=8, epochs=4, callbacks=[callback], verbose=0)


def positions(steps: int, jumps: bool) -> Sequence[int]:
    """Where the slider is moved to: to and fro in single steps from the end on, or anywhere."""
    if jumps:
        chance = random.Random(0)
        found = [0]
        while len(found) < MOVES:
            found.append(chance.choice([i for i in range(steps) if i != found[-1]]))
        return found
    back = [*range(steps - 2, -1, -1), *range(1, steps)]
    return [back[i % len(back)] for i in range(MOVES)]


def slider_moves(page: Page, frame: Frame, jumps: bool) -> list[float]:
    """Milliseconds of each move, in a tab that shows a picture at the last step."""
    frame.get_by_test_id("tensor-picture").wait_for()
    page.wait_for_timeout(2000)
    last = int(frame.get_by_test_id("step-slider").get_attribute("max") or 0)
    times = []
    for position in positions(last + 1, jumps):
        times.append(float(frame.evaluate(_MOVE, position)))
        page.wait_for_timeout(PAUSE_MILLISECONDS)
    return times


def network_moves(page: Page, frame: Frame, jumps: bool) -> list[float]:
    """Milliseconds from the line of the loss to all lanes painted; the steps lie evenly, and the last one is shown."""
    frame.locator("[data-testid=lanes][data-step][data-pending=false]").wait_for()
    page.wait_for_timeout(2000)
    count = int(frame.get_by_test_id("wall-time").inner_text().split("\n")[0].split(" of ")[1].replace(",", ""))
    times = []
    for position in positions(count, jumps):
        times.append(float(frame.evaluate(_NETWORK_MOVE, (position + 0.5) / count)))
        page.wait_for_timeout(PAUSE_MILLISECONDS)
    return times
