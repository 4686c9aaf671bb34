"""Bar charts as SVG, one for light and one for dark pages."""

from dataclasses import dataclass
from html import escape

from benchmarks.stage import REPOSITORY

_IMAGES = REPOSITORY / "docs" / "images"
# Text, other bars, our bar: Dropbox's blue is readable on both.
_PAGES = {"light": ("#1f2328", "#afb8c1", "#0061fe"), "dark": ("#e6edf3", "#57606a", "#4c8dff")}
_WIDTH, _ROW, _TOP = 760, 30, 44
_LABELS, _FIGURES = 330, 60


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of 1, with whose it is."""

    label: str
    share: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars under a title, for `docs/images/<name>-light.svg` and `-dark.svg`."""

    name: str
    title: str
    bars: list[Bar]

    def draw(self) -> None:
        """Write both."""
        for page, colours in _PAGES.items():
            path = _IMAGES / f"{self.name}-{page}.svg"
            path.write_text(_svg(self.title, self.bars, *colours), encoding="utf-8")


def _svg(title: str, bars: list[Bar], text: str, other: str, ours: str) -> str:
    height = _TOP + _ROW * len(bars) + 8
    room = _WIDTH - _LABELS - _FIGURES
    described = "; ".join(f"{bar.label} {bar.share:.0%}" for bar in bars)
    font = "-apple-system, Segoe UI, Helvetica, Arial, sans-serif"
    lines = [
        f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"
  width="{_WIDTH}" height="{height}" font-size="13" font-family="{font}" fill="{text}">
<title>{escape(title)}: {escape(described)}</title>
<text x="8" y="22" font-size="15" font-weight="600">{escape(title)}</text>"""
    ]
    for number, bar in enumerate(bars):
        y = _TOP + number * _ROW
        weight = ' font-weight="600"' if bar.ours else ""
        width = max(1.0, min(bar.share, 1.0) * room)
        label = escape(bar.label)
        colour = ours if bar.ours else other
        lines.append(
            f"""<text x="{_LABELS - 10}" y="{y + 16}" text-anchor="end"{weight}>{label}</text>
<rect x="{_LABELS}" y="{y}" width="{room}" height="22" fill="{other}" fill-opacity="0.18"/>
<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="22" fill="{colour}"/>
<text x="{_WIDTH - 8}" y="{y + 16}" text-anchor="end"{weight}>{bar.share:.0%}</text>"""
        )
    return "\n".join([*lines, "</svg>", ""])
