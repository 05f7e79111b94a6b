"""A training of Hugging Face's Trainer is the same with the callback, which logs what its optimizer is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tb_layerview as lv

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

ALL = lv.Keep(activations=1 << 20, weights=1 << 20, gradients=1 << 20, examples=8, precision="float32")


def trained(folder: Path, callbacks: list[Any], **options: Any) -> Any:
    transformers.set_seed(5)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config)
    data = [
        {
            "input_ids": torch.randint(0, 50, (12,)),
            "attention_mask": torch.tensor([1] * 9 + [0] * 3),
            "labels": torch.tensor(i % 3),
        }
        for i in range(48)
    ]
    arguments = transformers.TrainingArguments(
        str(folder / "checkpoints"),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=4,
        **options,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=callbacks)
    trainer.train()
    return trainer


def left_by(trainer: Any) -> dict[str, Any]:
    timed = ("runtime", "per_second")
    told = [{k: v for k, v in one.items() if not any(word in k for word in timed)} for one in trainer.state.log_history]
    weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    return {**weights, "told": told, "random": torch.get_rng_state()}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"gradient_accumulation_steps": 2, "max_grad_norm": 0.1}, id="accumulated and clipped"),
        pytest.param({"bf16": True}, id="casts"),
    ],
)
def test_a_training_is_the_same_and_counts_the_optimizers_steps(options: dict[str, Any], tmp_path: Path) -> None:
    bare = left_by(trained(tmp_path, [], **options))
    trainer = trained(tmp_path, [lv.TrainerCallback(tmp_path / "log", schedule=1)], **options)
    found = left_by(trainer)
    differing = [
        name
        for name, one in bare.items()
        if not (torch.equal(one, found[name]) if isinstance(one, torch.Tensor) else one == found[name])
    ]
    assert (found.keys(), differing) == (bare.keys(), [])
    assert not trainer.model._forward_pre_hooks
    run = lv.LayerReader(tmp_path / "log").run()
    assert [*run.steps] == [*range(trainer.state.global_step + 1)]


def test_attention_gradients_and_the_loss_are_those_of_the_model(tmp_path: Path) -> None:
    norms: list[float] = []

    class Norms(transformers.TrainerCallback):  # type: ignore[misc]
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            grads = [p.grad for p in given["model"].parameters() if p.grad is not None]
            norms.append(float(torch.cat([grad.ravel() for grad in grads]).norm()))

    trainer = trained(
        tmp_path, [Norms(), lv.TrainerCallback(tmp_path / "log", schedule=1, keep=ALL)], max_grad_norm=0.1
    )
    run = lv.LayerReader(tmp_path / "log").run()
    (words,) = [t for t in run.tensors if t.kind == "activation" and t.layer.endswith("input_ids")]
    rows = [one["input_ids"].tolist() for one in trainer.train_dataset]
    probe = [rows.index(row) for row in run.values(words, 0).array.astype(int).tolist()]
    assert run.targets()[""].tolist() == [int(trainer.train_dataset[i]["labels"]) for i in probe]
    paths = {layer.path: layer.class_name for layer in run.model.layers}
    assert paths["bert/encoder/layer/1/attention/self/query"] == "Linear"
    scores = [tensor for tensor in run.tensors if tensor.name.startswith("scores")]
    assert [(t.layer, t.axes) for t in scores] == [
        (f"bert/encoder/layer/{i}/attention/self", ("example", "head", "query", "key")) for i in (0, 1)
    ]
    values = run.values(scores[0], 0).array
    np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(values[..., 9:], 0)  # under the mask
    # By the rms of each: the norm of all gradients is what the Trainer has clipped it to.
    gradients = [tensor for tensor in run.tensors if tensor.kind == "gradient" and "example" not in tensor.axes]
    rms = run.statistics("rms")
    for step, norm in enumerate(norms, start=1):
        squares = sum(rms[int(t), step] ** 2 * np.prod(t.shape) for t in gradients)
        np.testing.assert_allclose(np.sqrt(squares), norm, rtol=1e-4)
    assert max(norms) <= 0.1 * 1.0001
    assert len(run.scalars["probe_loss"]) == trainer.state.global_step + 1
