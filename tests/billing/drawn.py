"""PDFs as whoever prints them sees them: pictures to look at, their text, and what is in the square code."""
from pathlib import Path

import pypdfium2
import segno
from PIL.Image import Image

SCALE = 3
"""Points to pixels: a square of the code is some ten of them."""
BLACK = 12
"""Only the code is drawn in black; letters and lines are of the ink of the style."""


def text_of(content: bytes) -> str:
    return "\n".join(page.get_textpage().get_text_range().replace("\r\n", "\n") for page in pypdfium2.PdfDocument(content))


def pictures(content: bytes) -> list[Image]:
    return [page.render(scale=SCALE).to_pil() for page in pypdfium2.PdfDocument(content)]


def keep(content: bytes, folder: Path, name: str) -> list[Image]:
    """The file, and a picture of each page beside it."""
    (folder / f"{name}.pdf").write_bytes(content)
    found = pictures(content)
    for number, picture in enumerate(found, start=1):
        picture.save(folder / f"{name}-{number}.png")
    return found


def ink(picture: Image) -> float:
    """How much of the page is not white, in percent."""
    counts = picture.convert("L").histogram()
    return 100 * sum(counts[:250]) / sum(counts)


def says(picture: Image, text: str) -> bool:
    """Whether the code on the page is that of the text: each of its squares is looked at."""
    dark = picture.convert("L").point(lambda shade: 255 if shade < BLACK else 0)
    box = dark.getbbox()
    if box is None:
        return False
    code = dark.crop(box)
    wanted = [[bool(square) for square in row] for row in segno.make(text, error="m", micro=False).matrix]
    across, down = code.width / len(wanted), code.height / len(wanted)
    seen = [[code.getpixel((int((column + 0.5) * across), int((row + 0.5) * down))) > 0 for column in range(len(wanted))]
            for row in range(len(wanted))]
    return seen == wanted
