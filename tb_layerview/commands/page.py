"""A run as one page of HTML that loads nothing: what it says, and which of its pictures fit."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tb_layerview.commands import page_pictures
from tb_layerview.commands.page_pictures import brief
from tb_layerview.format.logged import LoggedTensor, NotLoggedError
from tb_layerview.format.statistics import UPDATE_RATIO
from tb_layerview.format.values import Axis
from tb_layerview.health.finding import Finding, counted, since
from tb_layerview.health.of_run import diagnose_run
from tb_layerview.health.rules.catalogue import RULES
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run
from tb_layerview.serving import columns, cuts
from tb_layerview.serving.past import Past
from tb_layerview.serving.thumbnails import Thumbnails, inputs_of

# Nothing is loaded and nothing runs, whatever a name in the log would like to be.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_AT_ONCE = 32  # tensors whose thumbnails are made in one go, so that none is made smaller for the others
_LEFT_OUT_BYTES = 400  # what the sentence takes that says what was left out
_MOST_FOLLOWING = 100  # findings that follow from one
_MARKS = {"error": ("✗", "error"), "warning": ("⚠", "warning"), "": ("○", "fine")}


@dataclasses.dataclass
class _Piece:
    """A curve or a picture, which is in the page if it fits.

    Attributes:
      what: Of which kind: `picture of examples`, ...
      content: The HTML.
      fits: Whether it is in the page.
    """

    what: str
    content: str
    fits: bool = False

    def __str__(self) -> str:
        return self.content if self.fits else ""


def text(words: object) -> str:
    """Words from a log as HTML: no tag, no attribute, and no character that is not seen."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(words))
    return html.escape(shown)


def _name(words: object) -> str:
    """A name, which turns no other words around whatever its direction."""
    return f"<bdi>{text(words)}</bdi>"


class Page:
    """A run at a step, to be written as a page."""

    def __init__(self, run: Run, replays: Run | None, step: int) -> None:
        """Looks at the run.

        Args:
          run: The run.
          replays: The run that holds its replays, if there is one.
          step: The logged step whose numbers and pictures are shown.
        """
        self._run, self._step = run, step
        self._place = int(np.searchsorted(run.steps, step))
        self._findings = diagnose_run(run, replays)
        self._thumbnails = Thumbnails(Past())
        self._rms = run.statistics("rms")
        everything = np.arange(len(run.tensors))
        self._bad = columns.by_step(run, "non_finite", everything) > 0
        self._worst: dict[str, str] = {}
        for finding in self._findings:
            if finding.tensor is not None and self._worst.get(finding.tensor.layer) != "error":
                self._worst[finding.tensor.layer] = finding.severity
        self._inputs = [t for t in run.tensors if t.kind == "activation" and t.layer in inputs_of(run)]
        self._kept = {t.index: axis for t in self._inputs if (axis := self._examples(t)) is not None}

    def html(self, most: int) -> bytes:
        """The page, in at most so many bytes; pictures and curves that do not fit are left out, and that is said.

        Raises:
          ValueError: The words alone are more.
        """
        examples = [piece for tensor in self._inputs if (piece := self._examples_picture(tensor))]
        curves = {t.index: _Piece("curves", self._curve(t, "rms", self._rms[t.index])) for t in self._run.tensors}
        pictures = dict(self._pictures())
        first = [t.index for t in self._run.tensors if t.kind == "activation"]
        rest = [t.index for t in self._run.tensors if t.kind != "activation"]
        order = [*examples]
        for part in (first, rest):
            order += [curves[index] for index in part] + [pictures[index] for index in part if index in pictures]
        order = [piece for piece in order if piece.content]
        room = most - len(self._whole(examples, curves, pictures, "").encode()) - _LEFT_OUT_BYTES
        if room < 0:
            raise ValueError(f"its words alone take {(most - room) / 1e6:.2f} MB")
        for piece in order:
            size = len(piece.content.encode())
            piece.fits = size <= room
            room -= size if piece.fits else 0
        return self._whole(examples, curves, pictures, _left_out(order, most)).encode()

    def _whole(
        self, examples: Sequence[_Piece], curves: dict[int, _Piece], pictures: dict[int, _Piece], left_out: str
    ) -> str:
        style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
        title = f"Layers of the run {text(self._run.name)}"
        return "\n".join(
            [
                "<!doctype html>",
                '<html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f'<meta name="referrer" content="no-referrer"><title>{title}</title>',
                f"<style>{style}</style></head><body><main>",
                f"<h1>Layers of the run {_name(self._run.name)}</h1>",
                self._verdict(),
                *self._head(examples, pictures, left_out),
                *self._found(),
                *self._scalars(),
                *self._examples_section(examples),
                *self._layers(curves, pictures),
                "</main></body></html>\n",
            ]
        )

    def _verdict(self) -> str:
        layers = len(self._run.layers_logged)
        if self._findings:
            severity = "error" if any(f.severity == "error" for f in self._findings) else "warning"
            mark = _MARKS[severity][0]
            return f'<p class="{severity}"><b>{mark} {counted(self._findings)}</b> in {layers:,} layers</p>'
        return f'<p class="fine"><b>✓ No problems</b> in {layers:,} layer{"s" * (layers != 1)}</p>'

    def _head(self, examples: Sequence[_Piece], pictures: dict[int, _Piece], left_out: str) -> Iterator[str]:
        run, probe = self._run, self._run.model.probe
        steps = f"{len(run.steps):,} logged, {run.steps[0]:,} to {run.steps[-1]:,}"
        schedule = f" ({text(run.model.schedule)})" if run.model.schedule else ""
        yield '<dl class="card">'
        yield f"<dt>run</dt><dd>{_name(run.name)}, {text(', '.join(dict.fromkeys(run.modes)))}</dd>"
        yield f"<dt>steps</dt><dd>{steps}{schedule}; numbers and pictures are those of step {self._step:,}</dd>"
        yield f"<dt>written by</dt><dd>{text(run.model.software) or 'not known'}</dd>"
        yield f"<dt>examples in here</dt><dd>{self._said_of_examples(examples, pictures)}"
        if probe is not None:
            yield f" The probe: {text(probe.source)}, {probe.examples:,} in all."
        yield "</dd>"
        counts = ((len(run.layers), "layer"), (len(run.tensors), "tensor"), (len(run.scalars), "scalar"))
        names = "of the run, of " + ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in counts)
        yield f"<dt>names in here</dt><dd>{names}</dd>"
        files = sorted({source.file for layer in run.layers for source in layer.sources})
        listed = ", ".join(f"<code>{_name(file)}</code>" for file in files)
        yield f"<dt>paths in here</dt><dd>{listed or 'none'}{' (where layers are called)' * bool(files)}</dd>"
        yield f"<dt>left out by size</dt><dd>{left_out or 'nothing'}</dd>"
        notes = [*run.model.notes, *map(self._without_folder, run.problems)]
        if notes:
            yield f"<dt>notes</dt><dd>{'<br>'.join(text(note) for note in notes)}</dd>"
        yield "</dl>"

    def _without_folder(self, words: str) -> str:
        """What is said of files, without where they lay on the machine that made the page."""
        return words if self._run.folder is None else words.replace(f"{self._run.folder}/", "")

    def _said_of_examples(self, examples: Sequence[_Piece], pictures: dict[int, _Piece]) -> str:
        shown = [tensor for tensor in self._inputs if tensor.index in self._kept]
        said = []
        if any(piece.fits for piece in examples):
            said += [f"As pictures {_count_of(self._kept[t.index])} of {_name(t.layer)}." for t in shown]
        of_examples = [t for t in self._run.tensors if t.kind == "activation" or "example" in t.axes]
        if any(pictures[t.index].fits for t in of_examples if t.index in pictures):
            said.append(f"What layers make of one example, number {self._example()}.")
        return " ".join(said) or "None."

    def _found(self) -> Iterator[str]:
        if not self._findings:
            return
        advice = {rule.name: rule.advice for rule in RULES}
        yield '<h2>Findings</h2><ul class="findings card">'
        for i, finding in enumerate(self._findings):
            if finding.follows is not None:
                continue
            yield f"<li>{_line(finding)}"
            yield f'<p class="quiet">{text(advice.get(finding.rule, ""))}</p>'
            following = [other for other in self._findings if other.follows == i]
            if following:
                yield f"<details><summary>{len(following):,} more follow from it</summary>"
                yield from (f"<p>{_line(other)}</p>" for other in following[:_MOST_FOLLOWING])
                if len(following) > _MOST_FOLLOWING:
                    yield f"<p>and {len(following) - _MOST_FOLLOWING:,} others</p>"
                yield "</details>"
            yield "</li>"
        yield "</ul>"

    def _scalars(self) -> Iterator[str]:
        if not self._run.scalars:
            return
        yield '<h2>Loss and other scalars</h2><div class="curves card">'
        for name, values in self._run.scalars.items():
            last = values[self._place]
            drawn = page_pictures.curve(self._run.steps, values, np.isinf(values))
            yield f"<div><h3>{_name(name)}: {brief(last)}</h3>{drawn}</div>"
        yield "</div>"

    def _examples_section(self, examples: Sequence[_Piece]) -> Iterator[str]:
        if any(piece.fits for piece in examples):
            yield '<h2>The examples</h2><div class="card">'
            yield from map(str, examples)
            yield "</div>"

    def _layers(self, curves: dict[int, _Piece], pictures: dict[int, _Piece]) -> Iterator[str]:
        yield f"<h2>Layers at step {self._step:,}</h2>"
        yield (
            '<p class="quiet">At the left the layer, in the middle what it makes of the example, at the right the rms '
            "of that over the steps. A curve goes through the logged steps; between them nothing is known. A red line "
            "is a step with NaN or infinities. Open a layer for its weights, gradients and numbers.</p>"
        )
        yield '<div class="layers card">'
        by_layer: dict[str, list[LoggedTensor]] = {}
        for tensor in self._run.tensors:
            by_layer.setdefault(tensor.layer, []).append(tensor)
        for layer in self._run.layers:
            tensors = by_layer.get(layer.path, [])
            if not tensors:
                continue
            severity = self._worst.get(layer.path, "")
            mark, kind = _MARKS[severity]
            first = next((t for t in tensors if t.kind == "activation"), tensors[0])
            shape = " × ".join("?" if size < 0 else f"{size}" for size in first.shape)
            place = f" · {_name(first.source)}" if first.source is not None else ""
            yield f"<details{' open' * (severity == 'error')}><summary class=row>"
            yield f'<div class="name"><b class="{kind}">{mark}</b> {_name(layer.path)}'
            yield f'<div class="quiet">{text(layer.class_name)} {shape}{place}</div></div>'
            yield f"<div>{pictures.get(first.index, '')}</div>{curves[first.index]}</summary>"
            for tensor in tensors:
                yield from self._tensor(tensor, "" if tensor is first else f"{curves[tensor.index]}", pictures, first)
            yield "</details>"
        yield "</div>"

    def _tensor(
        self, tensor: LoggedTensor, drawn: str, pictures: dict[int, _Piece], first: LoggedTensor
    ) -> Iterator[str]:
        call = f", call {tensor.call}" if tensor.call else ""
        yield f'<div class="row tensor"><div class="name">{tensor.kind} {_name(tensor.name)}{call}</div>'
        yield f"<div>{'' if tensor is first else pictures.get(tensor.index, '')}</div>{drawn or '<div></div>'}"
        yield f'<div class="numbers quiet">{self._numbers(tensor)}</div></div>'

    def _numbers(self, tensor: LoggedTensor) -> str:
        try:
            digest = self._run.digest(tensor, self._step)
        except NotLoggedError:
            return f"not logged at step {self._step:,}"
        said = [f"{name} {brief(getattr(digest, name))}" for name in ("rms", "mean", "std", "min", "max")]
        said.append(f"{digest.zero / max(digest.size, 1):.1%} zero of {digest.size:,}")
        trouble = (("NaN", digest.nan), ("+inf", digest.pos_inf), ("−inf", digest.neg_inf))
        said += [f'<b class="error">{count:,} {name}</b>' for name, count in trouble if count]
        if tensor.kind == "update":
            ratio = self._run.columns(UPDATE_RATIO, [tensor])[0, self._place]
            said.append(f"{brief(float(ratio))} of the weight's rms")
        return ", ".join(said)

    def _curve(self, tensor: LoggedTensor, statistic: str, values: np.ndarray) -> str:
        return page_pictures.curve(self._run.steps, values, self._bad[tensor.index])

    def _examples(self, tensor: LoggedTensor) -> Axis | None:
        """Which examples of a tensor are kept near the step; None where none are, or it has none."""
        at = self._run.kept_near("values", tensor, self._step)
        if at is None:
            return None
        try:
            axes = self._run.values(tensor, at).axes
        except PayloadError:  # the notes name the damage
            return None
        how = cuts.plan(cuts.names_of(tensor.kind, tensor.axes, len(axes)))
        return None if how.example is None or not axes[how.example].count else axes[how.example]

    def _example(self) -> int:
        """The example that is shown: the first kept one."""
        return min((axis.start for axis in self._kept.values()), default=0)

    def _examples_picture(self, tensor: LoggedTensor) -> _Piece | None:
        if tensor.index not in self._kept:
            return None
        made = self._thumbnails.answer(self._run, self._step, None, [tensor.index])
        (lane,) = made.head["lanes"]
        axis = self._kept[tensor.index]
        if lane["step"] is None:
            return None
        caption = f"{_count_of(axis)} of {_name(tensor.layer)}, at step {lane['step']:,}"
        return _Piece("pictures of examples", _figure(lane, made.levels, caption))

    def _pictures(self) -> Iterator[tuple[int, _Piece]]:
        everything = range(len(self._run.tensors))
        for start in range(0, len(everything), _AT_ONCE):
            group = everything[start : start + _AT_ONCE]
            made = self._thumbnails.answer(self._run, self._step, self._example(), group)
            for lane in made.head["lanes"]:
                if lane["step"] is not None:
                    caption = "" if lane["step"] == self._step else f"of step {lane['step']:,}"
                    shown = "" if lane["of"] <= 1 or lane["layout"] != "tiles" else f"{lane['count']} of {lane['of']:,}"
                    words = " ".join(filter(None, (shown, caption)))
                    yield lane["tensor"], _Piece("pictures", _figure(lane, made.levels, words))


def _count_of(examples: Axis) -> str:
    """How many examples are shown, and of how many."""
    return f"{min(examples.count, cuts.EXAMPLES):,} of {examples.size:,} examples"


def _figure(lane: dict[str, object], levels: bytes, caption: str) -> str:
    address, width, height = page_pictures.picture(lane, levels)
    low, high = float(str(lane["low"])), float(str(lane["high"]))
    title = (
        f"from {brief(low)} to {brief(high)}, light to dark" if not lane["diverging"] else f"±{brief(high)} around 0"
    )
    shown = f'<img src="{address}" width="{width}" height="{height}" alt="{title}" title="{title}">'
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _line(finding: Finding) -> str:
    """A finding in the words of the tab and of `tb-layerview check`, and where the layer is called."""
    mark, kind = _MARKS[finding.severity]
    place = finding.tensor.source if finding.tensor is not None else None
    at = f' <span class="quiet">{_name(place)}</span>' if place is not None else ""
    said = (
        f'<b class="{kind}">{mark} {finding.severity.capitalize()}, {text(since(finding))}</b>: {text(finding.words)}'
    )
    return f'{said}{at} <span class="quiet">{text(finding.rule)}</span>'


def _left_out(pieces: Iterable[_Piece], most: int) -> str:
    """What does not fit, in words."""
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.what] = counts.get(piece.what, 0) + (not piece.fits)
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{said}: the page is to take at most {most / 1e6:g} MB" if said else ""
