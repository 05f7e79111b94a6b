"""`tb-layerview export`: what the page holds, read by a parser of HTML and of PNG that know nothing of it."""

from __future__ import annotations

import base64
import html.parser
import io
import re
from pathlib import Path

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.health.finding import since
from tb_layerview.health.of_run import diagnose_run

pytestmark = pytest.mark.once

SCRIPT = '</script></style></title><img src=x onerror="window.broken = 1">'
LEFT, RIGHT = (0xEE, 0xF3, 0xF7), (0x0A, 0x2A, 0x50)  # the ends of the tab's ramp, in light


class Page(html.parser.HTMLParser):
    """The tags and the text of a page.

    Attributes:
      tags: Each tag with its attributes.
      text: What is read.
      said: Of the list at the head each term and what is said of it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.said = "", dict[str, str]()
        self._within = ""
        self._term = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("dt", "dd", "style"):
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            return
        self.text += data
        if self._within == "dt":
            self._term = data
        elif self._within == "dd":
            self.said[self._term] = self.said.get(self._term, "") + data.rstrip("\n")

    def images(self) -> list[np.ndarray]:
        """The pixels of all pictures, uint8 [rows, columns, red, green, blue and opaqueness]."""
        image = pytest.importorskip("PIL.Image")
        sources = [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        decoded = [base64.b64decode(source.partition(",")[2]) for source in sources]
        return [np.asarray(image.open(io.BytesIO(data)).convert("RGBA")) for data in decoded]


def write(folder: Path, name: str = "conv", steps: int = 6, bad: int = -1) -> None:
    """Two feature maps, one of which is 0 at the left and 1 at the right; NaN from step `bad` on."""
    with LayerWriter(folder) as writer:
        for step in range(steps):
            maps = np.zeros((3, 4, 4, 2), np.float32)
            maps[:, :, 2:, 0] = 1.0
            if 0 <= bad <= step:
                maps[1, 0, 0, 1] = np.nan
            writer.write(step, {name: maps}, scalars={"loss": 1.0 / (1 + step)})
            writer.write(step, {name: np.full((2, 2), 0.5 + step)}, kind="weight")


def export(folder: Path, *options: str) -> Page:
    page = folder.parent / "page.html"
    assert cli.main(["export", str(folder), "--html", str(page), *options]) == 0
    return Page(page)


def test_the_page_says_at_its_head_what_it_holds_and_loads_nothing(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "run", steps=6)
    page = export(tmp_path / "logs", "--step", "4")
    assert page.said["run"].startswith("run, ")
    assert page.said["steps"].startswith("6 logged, 0 to 5")
    assert page.said["steps"].endswith("numbers and pictures are those of step 4")
    assert page.said["written by"].startswith("tb_layerview ")
    assert "of one example, number 0." in page.said["examples in here"]
    assert page.said["names in here"] == "of the run, of 1 layer, 2 tensors, 1 scalar"
    assert (page.said["paths in here"], page.said["left out by size"]) == ("none", "nothing")
    assert str(tmp_path) not in page.text, "where the log lay is nobody's business"
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not [a for _, a in page.tags for name in a if name.startswith("on") or name in ("href", "srcset", "style")]
    assert "rms 4.5, mean 4.5, std 0, min 4.5, max 4.5" in page.text


def test_the_pictures_are_those_of_the_values_and_mark_what_is_no_number(tmp_path: Path) -> None:
    write(tmp_path / "run", bad=3)
    first = next(image for image in export(tmp_path / "run", "--step", "0").images() if image.shape[1] == 9)
    assert first.shape == (4, 9, 4)
    assert (first[:, 0, :3] == LEFT).all() and (first[:, 3, :3] == RIGHT).all()
    assert (first[:, 4, 3] == 0).all() and (first[:, :4, 3] == 255).all(), "between two tiles one sees through"


def test_a_picture_in_colours_has_its_own(tmp_path: Path) -> None:
    colours = np.zeros((1, 2, 2, 3), np.float32)
    colours[0, 0, 1], colours[0, 1, 0], colours[0, 1, 1] = (1, 0, 0), (0, 1, 1), (1, 1, np.nan)
    with LayerWriter(tmp_path / "run") as writer:
        writer.write(0, {"input": colours})
    shown = export(tmp_path / "run").images()[-1]
    assert shown.tolist() == [[[0, 0, 0, 255], [255, 0, 0, 255]], [[0, 255, 255, 255], [0xD3, 0x20, 0x2B, 255]]]


def test_a_tensor_that_was_not_logged_at_the_step_says_so(tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        writer.write(0, {"early": np.ones((2, 3)), "late": np.ones((2, 3))})
        writer.write(1, {"late": np.ones((2, 3))})
    assert export(tmp_path / "run").text.count("not logged at step 1") == 1


def test_findings_have_the_words_of_the_tab(tmp_path: Path) -> None:
    write(tmp_path / "run", bad=3)
    run = LayerReader(tmp_path / "run").run()
    findings = [finding for finding in diagnose_run(run, None) if finding.follows is None]
    assert [finding.rule for finding in findings][:1] == ["non_finite"]
    page = export(tmp_path / "run")
    for finding in findings:
        assert finding.words in page.text and since(finding) in page.text
    opened = [a for tag, a in page.tags if tag == "details" and "open" in a]
    assert len(opened) == 1, "the layer that broke is open"


def test_names_from_a_log_are_text_wherever_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "run", name=SCRIPT, bad=2)
    page = export(tmp_path / "logs")
    assert page.text.count(SCRIPT) >= 2, "as a layer and in a finding"
    assert not [a for tag, a in page.tags if tag == "img" and a.get("src") == "x"]
    assert not any(tag == "script" for tag, _ in page.tags)
    assert [tag for tag, _ in page.tags].count("title") == [tag for tag, _ in page.tags].count("style") == 1


def test_control_characters_and_turned_writing_are_not_carried_over(tmp_path: Path) -> None:
    write(tmp_path / "run", name="a\x00b\x1b[31m\u202ec")
    content = (export(tmp_path / "run"), (tmp_path / "page.html").read_bytes())[1].decode("utf-8")
    assert not re.search("[\x00\x1b\u202e]", content) and "a\ufffdb\ufffd[31m\ufffdc" in content


def test_a_page_is_no_larger_than_it_may_be_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(30):
            writer.write(step, {f"conv_{i}": rng.normal(size=(2, 32, 32, 9)) for i in range(12)})
    whole = export(tmp_path / "run")
    size = (tmp_path / "page.html").stat().st_size
    assert whole.said["left out by size"] == "nothing" and len(whole.images()) == 12
    limit = size * 0.6 / 1e6
    part = export(tmp_path / "run", "--size-limit", f"{limit:.6f}")
    assert (tmp_path / "page.html").stat().st_size <= limit * 1e6
    left = re.search(r"(\d+) pictures: the page is to take at most", part.said["left out by size"])
    assert left is not None and 0 < int(left[1]) == 12 - len(part.images())


def test_a_log_without_values_has_its_curves_and_no_example(tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "run", keep=Keep(activations=0)) as writer:
        for step in range(4):
            writer.write(step, {"dense": np.full((3, 4), 1.0 + step)})
    page = export(tmp_path / "run")
    assert page.images() == [] and page.said["examples in here"] == "None."
    (curve,) = [a["points"] for tag, a in page.tags if tag == "polyline"]
    heights = [float(point.partition(",")[2]) for point in str(curve).split()]
    assert heights == sorted(heights, reverse=True) and len(heights) == 4


def test_what_cannot_be_exported_is_said_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs, page = tmp_path / "logs", str(tmp_path / "page.html")
    for name in ("a", "b"):
        write(logs / name, steps=2)
    for options, said in (
        ((str(tmp_path / "none"), "--html", page), "none' is not a folder"),
        ((str(logs), "--html", page), "there are 2 runs"),
        ((str(logs), "--html", page, "--run", "c"), "holds no run 'c'"),
        ((str(logs), "--html", page, "--run", "a", "--step", "9"), "did not log step 9; the nearest one is 1."),
        ((str(logs), "--html", page, "--run", "a", "--step", "9" * 20), "the nearest one is 1."),
        ((str(logs), "--html", str(tmp_path / "no" / "page"), "--run", "a"), "cannot be written: No such file"),
        ((str(logs), "--html", page, "--run", "a", "--size-limit", "0.001"), "Give a larger --size-limit"),
    ):
        assert cli.main(["export", *options]) == 2
        assert said in capsys.readouterr().err
    assert not Path(page).exists()
    with pytest.raises(SystemExit):
        cli.main(["export", str(logs), "--html", page, "--size-limit", "-1"])
    assert "a size is a number of megabytes above 0" in capsys.readouterr().err
