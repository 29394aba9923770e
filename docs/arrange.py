"""Lays pictures out on one JPEG: python docs/arrange.py OUT HEIGHT COLUMNS CAPTION=PICTURE...

Each is HEIGHT pixels high, its caption below. A caption that ends in ``2 x 2`` has its picture laid
side by side four times.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION = 8, 20


def cell(caption: str, path: str, height: int) -> Image.Image:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if caption.endswith("2 x 2"):
        width, tall = image.size
        laid = Image.new("RGB", (2 * width, 2 * tall))
        for corner in ((0, 0), (width, 0), (0, tall), (width, tall)):
            laid.paste(image, corner)
        image = laid
    size = (round(image.width * height / image.height), height)
    return image.resize(size, Image.Resampling.LANCZOS)


def arrange(out: Path, height: int, columns: int, pictures: dict[str, str]) -> None:
    cells = [(caption, cell(caption, path, height)) for caption, path in pictures.items()]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    width = max(sum(image.width + GAP for _, image in row) for row in rows) + GAP
    page = Image.new("RGB", (width, len(rows) * (height + CAPTION + GAP)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for number, row in enumerate(rows):
        top, left = number * (height + CAPTION + GAP) + GAP, GAP
        for caption, image in row:
            page.paste(image, (left, top))
            draw.text((left, top + height + 3), caption, "black", font)
            left += image.width + GAP
    page.save(out, quality=85)


if __name__ == "__main__":
    out, height, columns, *named = sys.argv[1:]
    arrange(Path(out), int(height), int(columns), dict(word.split("=", 1) for word in named))
