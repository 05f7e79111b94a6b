"""Trains over several devices, or in one of two processes, and prints what the weights are in the end."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import jax

HOW, FOLDER, PROCESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if HOW == "processes":
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{PORT}", num_processes=2, process_id=PROCESS)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from keras.distribution import (  # noqa: E402
    DataParallel,
    DeviceMesh,
    LayoutMap,
    ModelParallel,
    list_devices,
    set_distribution,
)

assert len(list_devices()) == 2
if HOW == "model":
    layout = LayoutMap(DeviceMesh((1, 2), ["batch", "model"], list_devices()))
    layout[".*hidden/kernel"], layout[".*hidden/bias"] = (None, "model"), ("model",)
    set_distribution(ModelParallel(layout_map=layout, batch_dim_name="batch"))
else:
    set_distribution(DataParallel(devices=list_devices(), auto_shard_dataset=False))

callbacks: list[Any] = []
if FOLDER:
    from tb_layerview import Check, Keep, LayerViewCallback

    exact = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
    callbacks = [LayerViewCallback(FOLDER, schedule=1, keep=exact, check=Check(replay=True))]
keras.utils.set_random_seed(3)
model = keras.Sequential(
    [
        keras.Input((6,)),
        layers.Dense(8, activation="relu", name="hidden"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.2, name="dropout"),
        layers.Dense(3, activation="softmax", name="classes"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
x = np.random.default_rng(PROCESS).normal(size=(80, 6)).astype("float32")
history = model.fit(x, np.arange(80) % 3, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)
digest = hashlib.sha256()
for variable in (*model.variables, *model.optimizer.variables):
    digest.update(np.array(variable.value).tobytes())
kernel = np.array(model.layers[0].kernel.value)
spec = str(model.layers[0].kernel.value.sharding.spec)
print(json.dumps([digest.hexdigest(), history.history, spec, kernel.astype(float).tolist()]))
