"""Pictures are known again at another size or compressed, and hardly a picture that is another one."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from sklearn.datasets import load_digits

from luthier.data.copies import picture_copies
from luthier.data.pictures import alike, sketches
from luthier.data.pictures.sketches import WIDTH

image = pytest.importorskip("PIL.Image")
Change = Callable[[np.ndarray], np.ndarray]


def digits(count: int = 1797, side: int = 32) -> np.ndarray:
    """Handwritten digits of that many pixels a side, bytes [N, side, side]."""
    pictures = (load_digits().images[:count] / 16 * 255).astype(np.uint8)
    return np.stack([scaled(side, "BICUBIC")(one) for one in pictures])


def scaled(side: int, how: str) -> Change:
    return lambda picture: np.asarray(image.fromarray(picture).resize((side, side), image.Resampling[how]))


def compressed(quality: int, form: str = "JPEG") -> Change:
    def change(picture: np.ndarray) -> np.ndarray:
        content = BytesIO()
        image.fromarray(picture).save(content, form, quality=quality)
        return np.asarray(image.open(content).convert("RGB" if picture.ndim == 3 else "L"))

    return change


def coloured(pictures: np.ndarray) -> np.ndarray:
    """The same in two colours [N, H, W, 3]."""
    share = pictures[..., None] / 255.0
    return (share * [250, 120, 40] + (1 - share) * [20, 60, 160]).astype(np.uint8)


def seen(pictures: np.ndarray) -> np.ndarray:
    return sketches(pictures[:, None] if pictures.ndim == 3 else np.moveaxis(pictures, -1, 1))


WAYS: dict[str, Change] = {
    "as it is": lambda picture: picture,
    "JPEG": compressed(90),
    "WebP": compressed(90, "WEBP"),
    "half": scaled(16, "BILINEAR"),
    "larger": scaled(48, "BICUBIC"),
    "a little smaller": scaled(28, "LANCZOS"),
    "smaller, then JPEG": lambda picture: compressed(90)(scaled(24, "BICUBIC")(picture)),
}


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("way", WAYS)
def test_a_picture_is_known_again_and_no_other_is(way: str, colour: bool) -> None:
    pictures = coloured(digits(300)) if colour else digits(300)
    first, second = alike(seen(np.stack([WAYS[way](one) for one in pictures[:100]])), seen(pictures))
    assert len(set(first[first == second])) >= 99
    assert not (first != second).any()


def test_of_all_digits_none_looks_like_another() -> None:
    assert not len(alike(seen(digits()))[0])


def test_the_same_shape_in_another_colour_is_another_picture() -> None:
    one = coloured(digits(50))
    first, _ = alike(seen(one), seen(one[..., ::-1]))
    assert not len(first)


def test_pictures_without_details_are_like_no_other() -> None:
    blank = np.full((3, 20, 20), 200, dtype=np.uint8)
    assert [len(some) for some in alike(seen(blank))] == [0, 0]
    assert [len(some) for some in alike(np.zeros((0, WIDTH), np.int16), seen(blank))] == [0, 0]


def test_copies_stay_together_and_one_scene_does_not() -> None:
    pictures = digits(60)
    both = np.concatenate([pictures, [compressed(90)(one) for one in pictures[:20]]])
    found = picture_copies(np.arange(80), alike(seen(both)))
    assert (found.together[:20] == found.together[60:]).all()
    assert found.repeated == found.near == 40
    assert "40 of them differ by size or compression only" in found.in_words
    scene = (pictures[0] * 0.8 + np.random.default_rng(0).normal(0, 4, (80, 32, 32))).clip(0, 255).astype(np.uint8)
    found = picture_copies(np.arange(80), alike(seen(scene)))
    assert len(set(found.together)) == 80
    assert found.in_words == (
        "80 of 80 pictures look like another one, as if scaled or compressed: too many to keep in one part of the split"
    )
