"""Trees of image files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from topo_search.errors import InputError
from topo_search.tasks import TaskConfig, load_task
from topo_search.tasks.folders import list_images

CLASSES = ("ant", "bee", "cow")


def load(data_dir, **options):
    return load_task(TaskConfig(name="image_folder", **{"folder": "zoo", **options}), data_dir=data_dir)


@pytest.fixture
def zoo(tmp_path, write_images):
    """5 images of 6 x 4 in each of three classes, train and test; returns the data folder and what was written."""
    return tmp_path, write_images(tmp_path / "zoo", CLASSES, per_class=5, size=(6, 4))


def test_colour(zoo):
    folder, written = zoo
    task = load(folder, validation_size=3)
    assert (task.label, task.classes, task.steps, task.channels) == ("image folder zoo", 3, 24, 3)
    assert (len(task.train), len(task.validation), len(task.test())) == (12, 3, 15)
    label_of = {pixels.tobytes(): CLASSES.index(path.split("/")[1]) for path, pixels in written.items()}
    for part in (task.train, task.validation, task.test()):
        for image, label in zip(part.inputs, part.labels.tolist(), strict=True):
            assert label_of.pop(image.numpy().tobytes()) == label
    assert not label_of


def test_rows_and_absolute_folder(zoo, tmp_path_factory):
    task = load(tmp_path_factory.mktemp("elsewhere"), folder=str(zoo[0] / "zoo"), presentation="rows", hold=2)
    assert (task.steps, task.channels) == (12, 12)


def test_grey_is_luma(zoo):
    folder, written = zoo
    task = load(folder, grey=True)
    assert (task.channels, task.label) == (1, "image folder zoo (grey)")
    expected = np.rint(written["test/ant/0.png"] @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(task.test().inputs[0, ..., 0].numpy() - expected).max() <= 1


def test_sizes_may_differ_where_image_size_is_set(zoo):
    folder, _ = zoo
    odd = folder / "zoo/train/bee/2.png"
    Image.fromarray(np.full((9, 5, 3), 200, dtype=np.uint8)).save(odd)
    with pytest.raises(InputError, match=r"expected an image of .* \(or set image_size\), got .*png"):
        load(folder)
    task = load(folder, image_size=3)
    assert task.train.inputs.shape[1:] == (3, 3, 3)
    assert task.label == "image folder zoo at 3x3"
    images = torch.cat([task.train.inputs, task.validation.inputs])
    assert (images == 200).all(dim=(1, 2, 3)).sum() == 1
    with pytest.raises(
        InputError, match=r"image_size: images can only be scaled down; .*png is 6 x 4, got image_size 5"
    ):
        load(folder, image_size=5)


def test_listing_is_that_of_torchvision(zoo):
    from torchvision.datasets import ImageFolder

    root = zoo[0] / "zoo/train"
    (root / "ant/more-1").mkdir()
    (root / "ant/more").mkdir()
    for name in ("ant/more-1/x.png", "ant/more/y.PNG", "bee/note.txt"):
        (root / name).write_bytes((root / "ant/0.png").read_bytes())
    reference, listing = ImageFolder(str(root)), list_images(root)
    assert list(zip(listing.files, listing.labels.tolist(), strict=True)) == reference.samples
    assert list(listing.classes) == reference.classes


def test_hidden_names_are_skipped(zoo):
    root = zoo[0] / "zoo/train"
    before = list_images(root)
    (root / ".checkpoints").mkdir()
    (root / "ant/.thumbs").mkdir()
    for name in ("ant/._0.png", "ant/.thumbs/0.png", ".checkpoints/0.png"):
        (root / name).write_bytes(b"")
    after = list_images(root)
    assert (before.files, before.classes) == (after.files, after.classes)


@pytest.mark.parametrize("what", ["missing", "poisoned"])
def test_test_images_are_not_opened_before_test(zoo, what):
    folder, _ = zoo
    for image in (folder / "zoo/test/cow").iterdir():
        if what == "missing":
            image.unlink()
        else:
            image.write_bytes(b"poison")
    task = load(folder)
    task.batch(task.train)
    with pytest.raises(InputError, match=r"test/cow"):
        task.test()


def test_missing_test_folder_is_noticed_at_once(zoo):
    folder, _ = zoo
    (folder / "zoo/test").rename(folder / "zoo/later")
    with pytest.raises(InputError, match=r"expected the test part at .*zoo/test"):
        load(folder)


def test_classes_must_agree(zoo):
    folder, _ = zoo
    (folder / "zoo/test/cow").rename(folder / "zoo/test/crow")
    with pytest.raises(InputError, match="same classes in train and test, cow, crow is in one only"):
        load(folder).test()


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def spoil_text(path):
    path.write_text("not an image")


def spoil_other_format(path):
    Image.fromarray(np.zeros((6, 4, 3), dtype=np.uint8)).save(path, format="GIF")


def spoil_deep(path):
    Image.fromarray(np.zeros((6, 4), dtype=np.uint16)).save(path)


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_text, spoil_other_format, spoil_deep])
def test_unreadable_images_are_named(zoo, spoil):
    folder, _ = zoo
    path = folder / "zoo/train/bee/3.png"
    spoil(path)
    with pytest.raises(InputError, match=r"(cannot read|expected an) image.*") as caught:
        load(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_trees(tmp_path):
    with pytest.raises(InputError, match=r"image_folder: expected train/<class>/\* and test/<class>/\* in .*zoo"):
        load(tmp_path)
    (tmp_path / "zoo/train").mkdir(parents=True)
    (tmp_path / "zoo/test").mkdir()
    with pytest.raises(InputError, match="expected at least one class folder, found none"):
        load(tmp_path)
    (tmp_path / "zoo/train/ant").mkdir()
    with pytest.raises(InputError, match=r"class folder without images .*ant"):
        load(tmp_path)
