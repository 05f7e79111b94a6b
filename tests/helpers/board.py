"""TensorBoard's Python loader and our plugin on a folder, and logs to look at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.backend import security_validator
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from werkzeug import test as werkzeug_test

from tb_layerview import LayerWriter
from tb_layerview.serving.plugin import LayerViewPlugin


def array_of(step: int, layer: str) -> npt.NDArray[np.float64]:
    """What `layer` gives at a step; NaN, infinities and zeros among it."""
    array = np.random.default_rng([step, len(layer)]).normal(size=(2, 5))
    array[0, 0], array[0, 1], array[1, 2], array[1, 4] = 0.0, np.nan, np.inf, -np.inf
    return array


def write_run(folder: Path, steps: range) -> None:
    with LayerWriter(folder) as writer:
        for step in steps:
            layers = {layer: array_of(step, layer) for layer in ("conv", "dense")}
            writer.write(step, layers, scalars={"loss": np.nan if step == 1 else 0.5})
            if step % 2 == 0:
                writer.write(step, {"conv": np.full((3, 3), step)}, kind="weight", scalars={"even": step})


class Client:
    """Asks routes, through the middleware in which TensorBoard checks answers."""

    def __init__(self, apps: dict[str, Any]) -> None:
        self._apps = apps

    def get(self, path: str, method: str = "GET", **headers: str) -> werkzeug_test.TestResponse:
        route = path.partition("?")[0]
        app = security_validator.SecurityValidatorMiddleware(self._apps[route])
        return werkzeug_test.Client(app).open(path, method=method, headers=headers)

    def json(self, path: str) -> dict[str, Any]:
        response = self.get(path)
        assert response.status_code == 200, response.text
        found = json.loads(response.data)
        assert isinstance(found, dict)
        return found

    def bytes(self, path: str) -> bytes:
        response = self.get(path)
        assert response.status_code == 200, response.text
        assert response.content_type == "application/octet-stream"
        return response.data

    def error(self, path: str) -> tuple[int, str]:
        response = self.get(path)
        assert response.content_type == "application/json"
        return response.status_code, json.loads(response.data)["error"]


class Board:
    """TensorBoard's Python loader on a folder, and the plugin on top of it."""

    def __init__(self, logdir: Path, name: str | None = None) -> None:
        self._multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"layerview": 0})
        self._logdir, self._name = logdir, name
        provider = data_provider.MultiplexerDataProvider(self._multiplexer, str(logdir))
        self.plugin = LayerViewPlugin(
            base_plugin.TBContext(
                data_provider=provider,
                logdir=str(logdir),
                multiplexer=self._multiplexer,
                flags=argparse.Namespace(grpc_data_provider=""),
            )
        )
        self.client = Client(self.plugin.get_plugin_apps())
        self.reload()

    def reload(self) -> None:
        self._multiplexer.AddRunsFromDirectory(str(self._logdir), self._name)
        self._multiplexer.Reload()
