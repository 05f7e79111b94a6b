"""Which tests depend on how TensorFlow computes.

As what its kernels make of NaN, which operations they fuse, and which of them there are at all. Whether TensorFlow
computes with oneDNN depends on the processor, unless TF_ENABLE_ONEDNN_OPTS says so: all files are run with it, and by
`make test-long` these once more without.
"""

#: Files of which all tests do; they are marked `arithmetic` when they are collected.

ARITHMETIC = (
    "test_blocks.py",
    "test_hook_replay.py",
    "test_keras_layers.py",
    "test_nan_behind_layers.py",
)
#: Files of which those tests do that are marked so themselves.
IN_PART = ("test_replay.py",)
