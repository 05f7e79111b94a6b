"""Requests and answers of the routes: what a query says, and how an answer is sent."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tensorboard import errors
from tensorboard.backend import http_util
from werkzeug import wrappers

from tb_layerview.format.logged import NotLoggedError
from tb_layerview.health.rules.catalogue import Rule, with_thresholds
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


Route = Callable[[wrappers.Request], wrappers.Response]


class RequestError(Exception):
    """The request is wrong; the message says what is."""


def answering(serve: Route) -> WSGIApplication:
    """Makes what a route raises its answer: a sentence, under the status that `docs/http_api.md` names."""

    @wrappers.Request.application
    def answer(request: wrappers.Request) -> wrappers.Response:
        if request.method not in ("GET", "HEAD"):
            return error_of(
                request, f"{request.method} is not answered here; use GET.", 405, headers=[("Allow", "GET, HEAD")]
            )
        try:
            return serve(request)
        except RequestError as error:
            return error_of(request, str(error), 400)
        except NotLoggedError as error:
            return error_of(request, str(error), 404)
        except PayloadError as error:
            return error_of(request, str(error), 410)
        except errors.PublicError as error:
            return error_of(request, f"TensorBoard cannot read the log: {error}", error.http_code)

    return answer


def as_json(request: wrappers.Request, data: dict[str, Any]) -> wrappers.Response:
    """Answers with JSON."""
    return respond(request, data, "application/json")


def as_bytes(request: wrappers.Request, data: bytes, run: Run, **headers: object) -> wrappers.Response:
    """Columns over steps, with how many steps there are and which history they belong to."""
    headers = {"Steps": len(run.steps), "Generation": run.generation, **headers}
    named = [(f"X-Layerview-{name}", str(value)) for name, value in headers.items()]
    return respond(request, data, "application/octet-stream", headers=named)


def as_framed(request: wrappers.Request, head: dict[str, Any], data: bytes) -> wrappers.Response:
    """JSON in front of bytes: how many bytes it has as a uint32, the JSON, and the bytes."""
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    return respond(request, struct.pack("<I", len(text)) + text + data, "application/octet-stream")


def error_of(request: wrappers.Request, sentence: str, code: int, **more: Any) -> wrappers.Response:
    """Answers that something is wrong, in a sentence."""
    return respond(request, {"error": sentence}, "application/json", code=code, **more)


def respond(
    request: wrappers.Request, content: bytes | str | dict[str, Any], content_type: str, **more: Any
) -> wrappers.Response:
    """TensorBoard's own way to answer: its security headers, and NaN and infinities as strings."""
    response: wrappers.Response = http_util.Respond(request, content, content_type, **more)
    return response


def rules_of(request: wrappers.Request) -> tuple[Rule, ...]:
    """The rules with the thresholds that the request moves."""
    thresholds: dict[str, float] = {}
    for given in request.args.getlist("threshold"):
        name, _, value = given.rpartition(":")
        try:
            thresholds[name] = float(value)
        except ValueError:
            raise RequestError(f"threshold={given!r} is not rule.threshold:number.") from None
    try:
        return with_thresholds(thresholds)
    except ValueError as error:
        raise RequestError(f"{error}.") from error


def text_of(request: wrappers.Request, name: str) -> str:
    """What a request gives for a name.

    Raises:
      RequestError: It gives nothing, or several things.
    """
    given = request.args.getlist(name)
    if not given:
        raise RequestError(f"{name} is missing: add {name}=... to the address.")
    if len(given) > 1:
        raise RequestError(f"{name} is given {len(given)} times; which one is meant cannot be told.")
    return str(given[0])


def number_of(request: wrappers.Request, name: str, *, default: int | None = None, least: int | None = 0) -> int:
    """The whole number that a request gives for a name, or the default.

    Raises:
      RequestError: It is not a whole number, or it is less than the least.
    """
    if default is not None and name not in request.args:
        return default
    given = text_of(request, name)
    # int() takes more than digits; numbers longer than this are no int64.
    if not re.fullmatch(r"-?[0-9]{1,18}", given) or (least is not None and int(given) < least):
        raise RequestError(f"{name}={given!r} is not a whole number{'' if least is None else f' from {least} on'}.")
    return int(given)


def numbers_of(request: wrappers.Request, name: str, *, most: int) -> list[int]:
    """The whole numbers from 0 on that a request gives for a name, with commas between them.

    Raises:
      RequestError: It gives none, or more than the most, or one twice, or something else.
    """
    given = text_of(request, name).split(",")
    if len(given) > most:
        raise RequestError(f"{name} names {len(given)}; {most} are the most that are answered at a time.")
    for one in given:
        if not re.fullmatch(r"[0-9]{1,18}", one):
            raise RequestError(f"{name}: {one!r} is not a whole number from 0 on; they stand with commas between them.")
    numbers = [int(one) for one in given]
    if len(set(numbers)) < len(numbers):
        raise RequestError(f"{name} names one more than once; each is answered once.")
    return numbers


def one_of(request: wrappers.Request, name: str, choices: Iterable[Any], *, default: str | None = None) -> Any:
    """Which of some choices a request names, or the default.

    Raises:
      RequestError: It names none of them.
    """
    if default is not None and name not in request.args:
        return default
    return check_names(name, text_of(request, name), tuple(choices))


def check_names(name: str, given: str, choices: tuple[Any, ...]) -> Any:
    """What is given, which must be one of the choices.

    Raises:
      RequestError: It is not.
    """
    if given not in choices:
        raise RequestError(f"{name}={given!r} is not one of {', '.join(choices)}.")
    return given
