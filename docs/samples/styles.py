"""Draw the built-in styles with numpy and Pillow: styles.py [output directory [name ...]].

Twelve hands (hands.py; three are draw.py's) depict a scene each (scenes.py). All is computed from
fixed seeds, copies nothing, and belongs to the project: it is under its MIT licence. Without a
directory the pictures take their place in the package.
"""

import sys
from pathlib import Path

import draw
import hands
import numpy as np
from draw import HEIGHT, WIDTH, Array
from PIL import Image

PACKAGE = Path(__file__).resolve().parents[2] / "engine" / "ortist" / "style" / "builtin"
HANDS = {
    **{name: getattr(hands, name) for name in hands.__all__},
    **{name: getattr(draw, name) for name in ("pencil", "shards", "swirls")},
}


def save(pixels: Array, path: Path) -> None:
    """Save at half of the working size."""
    levels = np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5)
    half = Image.fromarray(levels).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    half.save(path, quality=75, method=6)


def main(folder: Path, names: list[str]) -> None:
    """Draw the styles of those names, or all, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or HANDS:
        save(HANDS[name](), folder / f"{name}.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PACKAGE, sys.argv[2:])
