"""From the report's Markdown to HTML pages that need no other file and no network: pictures and files are embedded."""

import base64
import html
import io
import itertools
import mimetypes
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

TEMPLATE = Path(__file__).parent / "page.html"
THUMBNAIL = 440  # pixels wide, in the overview
DOWNLOADS = (".pdf", ".parquet", ".csv")
LARGEST_FILE = 1_000_000  # bytes of a file that a page holds for download
# Browsers open no data: address above 2 MiB, which is what Snakemake's report makes of a page: 4/3 of its bytes.
LARGEST_PART = 1_500_000
# What a page gives up, step by step, until it is small enough: files to download, then pictures in full size.
_EMBEDDED: tuple[tuple[bool, int | None], ...] = ((True, None), (False, None), (False, 1000), (False, THUMBNAIL))
_VERDICT = re.compile(r"<strong>(reproduced|not reproduced|inconclusive|not tested)</strong>")
_BREAK = "&lt;br&gt;"  # the one tag that our tables use; all other HTML in a text is shown as it is


def part(title: str, text: str, folder: Path, extra: str = "") -> str:
    """Return a page as small as Snakemake's report needs it; what that leaves out is in the whole one."""
    for files, width in _EMBEDDED:
        smaller = page(title, text, folder, extra, files=files, width=width)
        if len(smaller.encode()) <= LARGEST_PART:
            break
    return smaller


def page(
    title: str,
    text: str,
    folder: Path,
    extra: str = "",
    contents: bool = False,
    files: bool = True,
    width: int | None = None,
) -> str:
    """Return Markdown as a page of its own.

    Args: `folder`, what the text's links are relative to; `extra`, HTML below the first section's text; `contents`,
    whether second-level headings are listed as contents; `files`, whether linked files are embedded; `width`
    of pictures in pixels, None as they are. Links to files that are not inside become plain text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    headings = list(_anchored(tokens))
    for token in _inline(tokens):
        _embed(token, folder, files, width)
    body = str(parser.renderer.render(tokens, parser.options, {}))
    body = _VERDICT.sub(lambda verdict: f'<strong class="{verdict[1].replace(" ", "-")}">{verdict[1]}</strong>', body)
    body = body.replace(_BREAK, "<br>").replace("<table>", '<div class="table"><table>')
    body = body.replace("</table>", "</table></div>")
    first = body.find("<h2") if contents else -1
    cut = first if first >= 0 else len(body)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        contents=_contents(headings) if contents else "",
        kind="whole" if contents else "part",
        body=body[:cut] + extra + body[cut:],
    )


def gallery(pictures: Iterable[tuple[str, str, Path]], linked: bool) -> str:
    """Return small pictures side by side; each is caption, anchor of its section, and file (left out if absent)."""
    thumbnails = []
    for caption, anchor, file in pictures:
        if file.is_file():
            name = html.escape(caption)
            inner = f'<img src="{_picture(file, THUMBNAIL)}" alt="{name}"><span>{name}</span>'
            thumbnails.append(f'<a href="#{anchor}">{inner}</a>' if linked else f"<div>{inner}</div>")
    return f'<div class="gallery">{"".join(thumbnails)}</div>' if thumbnails else ""


def anchor(text: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def data_address(content: bytes, name: str) -> str:
    """Return a data: address with the content of a file of this name."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _anchored(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Give each heading of the second level an anchor; yield anchor and text of each."""
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            name = anchor(inline.content)
            opening.attrSet("id", name)
            yield name, inline.content


def _contents(headings: Iterable[tuple[str, str]]) -> str:
    entries = (f'<li><a href="#{name}">{html.escape(text)}</a></li>' for name, text in headings)
    return f"<nav><ol>{''.join(entries)}</ol></nav>"


def _inline(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def _embed(token: Token, folder: Path, files: bool, width: int | None) -> None:
    """Put the file that an image or a link names into the page; a link elsewhere opens in a window of its own."""
    if token.type == "image":
        file = folder / str(token.attrGet("src"))
        token.attrSet("src", _picture(file, width))
    elif token.type == "link_open":
        target = str(token.attrGet("href"))
        file = folder / target
        if target.startswith("https://"):
            token.attrs |= {"target": "_blank", "rel": "noopener"}
        elif files and file.suffix in DOWNLOADS and file.is_file() and file.stat().st_size <= LARGEST_FILE:
            token.attrs |= {"href": data_address(file.read_bytes(), file.name), "download": file.name}
        else:
            token.attrs = {"class": "elsewhere", "title": f"{target} is not in this file"}  # no address: no link


def _picture(file: Path, width: int | None) -> str:
    """Return a picture as an address: the file's own bytes, or a copy `width` pixels wide."""
    if width is None:
        return data_address(file.read_bytes(), file.name)
    with Image.open(file) as picture:
        height = round(width * picture.height / picture.width)
        small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.quantize(64).save(buffer, "PNG", optimize=True)
    return data_address(buffer.getvalue(), file.name)
