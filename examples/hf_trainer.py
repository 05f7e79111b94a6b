"""Logs a model that Hugging Face's `Trainer` trains: one callback.

    python examples/hf_trainer.py [LOGDIR]    # logs/hf_trainer if none is given
    tensorboard --logdir logs                 # then open the Layers tab

Needs transformers with accelerate, and scikit-learn for its 1,797 handwritten digits. Each digit is read row by row, as
a sequence of 64 grey levels; nothing is downloaded.
"""

from __future__ import annotations

import sys
import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import tb_layerview as lv


def main(logdir: str = "logs/hf_trainer") -> None:
    """Trains for an epoch and logs every module."""
    set_seed(0)
    digits = load_digits()
    levels = torch.tensor(digits.images.reshape(len(digits.images), -1), dtype=torch.int64)
    data = [{"input_ids": row, "labels": int(label)} for row, label in zip(levels, digits.target)]
    config = BertConfig(
        vocab_size=17,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=10,
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=64,
            learning_rate=1e-3,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        model = BertForSequenceClassification(config)
        trainer = Trainer(model, arguments, train_dataset=data, callbacks=[lv.TrainerCallback(logdir)])
        result = trainer.train()
    print(f"{result.global_step} steps, loss {result.training_loss:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
