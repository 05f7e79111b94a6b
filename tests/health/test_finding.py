"""Findings in words and numbers: what a warning led to."""

from __future__ import annotations

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.health.finding import Finding, led_to

TENSOR = LoggedTensor(0, "dense", 0, "activation", "output", (8, 5), "float32", ("example", "unit"))


def finding(severity: str, follows: int | None, tensor: LoggedTensor | None = TENSOR) -> Finding:
    return Finding("rule", severity, tensor, 3, 2, 9, {"x": 1.0}, "is wrong", "is wrong", follows)  # type: ignore[arg-type]


def test_a_warning_led_to_the_first_error_that_follows_from_it_and_of_a_tensor_if_any_is() -> None:
    found = [
        finding("warning", None),
        finding("warning", 0),
        finding("error", 0, tensor=None),  # a loss
        finding("error", 0),
        finding("error", 0),
        finding("error", None),
        finding("error", 5),  # an error explains it, which is told by itself
        finding("warning", None),
        finding("warning", 7),
        finding("warning", None),
        finding("error", 9, tensor=None),
    ]
    assert led_to(found) == {0: 3, 9: 10}
    assert led_to([]) == {}
