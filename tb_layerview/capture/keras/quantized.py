"""What the weights of quantized Keras layers hold: two numbers a byte, or a value where a gradient is looked for."""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.passes.nodes import dtype_name, size_in_bytes

# Keras 3's modes in which weights of four bits may lie two in a byte.
_OF_FOUR_BITS = ("int4", "gptq", "awq")


def is_packed(layer: Any, variable: Any) -> bool:
    """Whether a weight of a layer holds two numbers in each byte."""
    if getattr(layer, "quantization_mode", None) not in _OF_FOUR_BITS or size_in_bytes(dtype_name(variable)) != 1:
        return False
    return any(variable is getattr(layer, name, None) for name in ("_kernel", "_embeddings", "quantized_kernel"))


def unpacked_size(layer: Any, variable: Any) -> int | None:
    """How many numbers lie along the last axis of a weight that is packed along it; None where that is not known."""
    size = getattr(layer, "_orig_output_dim", None)
    is_last = layer.quantization_mode == "int4" and variable is not getattr(layer, "quantized_kernel", None)
    if not is_last or len(variable.shape) != 2 or not isinstance(size, int) or -(-size // 2) != variable.shape[-1]:
        return None
    return size


def is_own_gradient(variable: Any) -> bool:
    """Whether what stands for a variable's gradient is its next value: float8 learns its scales so."""
    return bool(getattr(variable, "overwrite_with_gradient", False))
