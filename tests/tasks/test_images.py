"""MNIST, Fashion-MNIST and CIFAR-10 from small files in their formats, and from the real ones where present."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topo_search.errors import InputError
from topo_search.tasks import TaskConfig, load_task
from topo_search.tasks.idx import read_idx

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(name: str, folder: Path, **options):
    return load_task(TaskConfig(name=name, **options), data_dir=folder)


@pytest.mark.parametrize(
    "case",
    [
        ("seq_mnist", "MNIST", "sequential MNIST"),
        ("ps_mnist", "MNIST", "permuted sequential MNIST"),
        ("seq_fashion_mnist", "FashionMNIST", "sequential Fashion-MNIST"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_idx_tasks(mnist_tree, slow_batch, case, compressed):
    name, dataset, label = case
    task = load(name, mnist_tree(dataset=dataset, compressed=compressed))
    assert (task.label, task.classes, task.steps, task.channels) == (label, 10, 784, 1)
    assert (len(task.train), len(task.validation), len(task.test())) == (48, 12, 20)
    assert task.test().labels.tolist() == [n % 10 for n in range(20)]
    assert (task.permutation is None) == (name != "ps_mnist")
    inputs, _ = task.batch(task.train, slice(0, 2), dtype=torch.float64)
    expected = torch.tensor(slow_batch(task, task.train.inputs[:2]), dtype=torch.float64)
    torch.testing.assert_close(inputs, expected, rtol=1e-15, atol=1e-15)


def test_idx_images_keep_their_labels(mnist_tree):
    folder = mnist_tree()
    task = load("seq_mnist", folder)
    raw = (folder / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:]
    label_of = {raw[784 * n : 784 * (n + 1)]: n % 10 for n in range(60)}
    seen = set()
    for part in (task.train, task.validation):
        for image, label in zip(part.inputs, part.labels.tolist(), strict=True):
            assert label_of[image.numpy().tobytes()] == label
            seen.add(image.numpy().tobytes())
    assert seen == set(label_of)


def test_idx_rows_and_scaled_down(mnist_tree):
    folder = mnist_tree()
    rows = load("seq_mnist", folder, presentation="rows", hold=2)
    assert (rows.steps, rows.channels) == (56, 28)
    small, full = load("seq_mnist", folder, image_size=14), load("seq_mnist", folder)
    assert (small.steps, small.label) == (196, "sequential MNIST at 14x14")
    assert small.test().inputs.shape == (20, 14, 14, 1)
    blocks = full.train.inputs.reshape(48, 14, 2, 14, 2).sum((2, 4))
    assert torch.equal(small.train.inputs[..., 0].long(), (blocks + 2) // 4)
    assert len(load("ps_mnist", folder, image_size=14).permutation) == 196
    with pytest.raises(InputError, match="task seq_mnist is 28 x 28, got image_size 29"):
        load("seq_mnist", folder, image_size=29)


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_missing_idx_test_files_are_noticed_at_once(mnist_tree, name):
    folder = mnist_tree()
    (folder / "MNIST/raw" / name).unlink()
    with pytest.raises(InputError, match=name):
        load("seq_mnist", folder)


def test_idx_test_files_are_not_opened_before_test(mnist_tree):
    folder = mnist_tree()
    for path in (folder / "MNIST/raw").glob("t10k-*"):
        path.write_bytes(b"poison")
    task = load("seq_mnist", folder)
    task.batch(task.train)
    task.batch(task.validation)
    with pytest.raises(InputError, match="t10k"):
        task.test()


IDX_FAULTS = [
    ("images", lambda data: data[:-1], "truncated IDX file: expected 47056 bytes for 60 entries, got 47055"),
    ("images", lambda data: data + b"\0", "bytes after its end"),
    ("images", lambda data: b"\0\0\x09\x03" + data[4:], "expected magic"),
    ("images", lambda data: data[:10], "truncated IDX file: expected 16 bytes of header, got 10"),
    ("images", lambda data: b"", "expected magic"),
    ("images", lambda data: data[:8] + struct.pack(">2I", 14, 56) + data[16:], r"expected entries of shape \(28, 28\)"),
    ("images", lambda data: data[:4] + struct.pack(">I", 2**32 - 1) + data[8:], "truncated IDX file"),
    ("images", lambda data: data[:4] + struct.pack(">I", 59) + data[8:-784], "as many labels as images, got 60 and 59"),
    ("labels", lambda data: data[:-1] + b"\x0a", "label out of range: expected 0 to 9, got 10"),
    ("labels", lambda data: data[:4] + bytes(4), "bytes|without entries"),
    ("labels", lambda data: data[:-3], "truncated IDX file: expected 68 bytes for 60 entries, got 65"),
]


@pytest.mark.parametrize(("kind", "spoil", "message"), IDX_FAULTS)
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_corrupt_idx_files_are_named(mnist_tree, kind, spoil, message, part):
    folder = mnist_tree()
    name = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    path = folder / "MNIST/raw" / name
    data = path.read_bytes()
    if part == "t10k":
        message = r"t10k"
    path.write_bytes(spoil(data))
    with pytest.raises(InputError, match=message) as caught:
        load("seq_mnist", folder).test()
    assert f"{part}-" in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-20], lambda data: b"\x1f\x8c" + data[2:], lambda data: data[:30]]
)
def test_corrupt_gzip_is_named(mnist_tree, spoil):
    folder = mnist_tree(compressed=True)
    path = folder / "MNIST/raw/train-images-idx3-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"cannot read .*train-images-idx3-ubyte\.gz"):
        load("seq_mnist", folder)


def test_damaged_gzip_payload_is_named(mnist_tree):
    folder = mnist_tree(compressed=True)
    path = folder / "MNIST/raw/train-labels-idx1-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[12:20] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot read .*train-labels-idx1-ubyte\.gz"):
        load("seq_mnist", folder)


def test_plain_files_come_before_compressed_ones(mnist_tree):
    folder = mnist_tree()
    (folder / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"other"))
    assert len(load("seq_mnist", folder).train) == 48


@pytest.mark.parametrize("name", ["seq_mnist", "ps_mnist", "seq_fashion_mnist", "seq_cifar10"])
def test_missing_data_says_where_what_and_what_to_do(tmp_path, name):
    with pytest.raises(InputError) as caught:
        load(name, tmp_path / "nowhere")
    message = str(caught.value)
    assert str(tmp_path / "nowhere") in message
    assert all(word in message for word in (name, "expected", "--data-dir", "TOPO_SEARCH_DATA"))
    assert ("--download" in message) == (name != "seq_cifar10")
    assert "\n" not in message


def test_cifar_download_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="binary version by hand") as caught:
        load_task(TaskConfig(name="seq_cifar10"), data_dir=tmp_path, download=True)
    assert "--download cannot fetch it" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_cifar_binary(cifar_binary_tree, slow_batch):
    folder, images, labels = cifar_binary_tree
    task = load("seq_cifar10", folder)
    assert (task.label, task.classes, task.steps, task.channels) == ("sequential CIFAR-10", 10, 1024, 3)
    assert (len(task.train), len(task.validation), len(task.test())) == (32, 8, 8)
    label_of = {image.tobytes(): label for image, label in zip(images, labels.tolist(), strict=True)}
    for part in (task.train, task.validation):
        for image, label in zip(part.inputs, part.labels.tolist(), strict=True):
            assert label_of.pop(image.numpy().tobytes()) == label
    assert not label_of
    inputs, _ = task.batch(task.train, slice(0, 2), dtype=torch.float64)
    expected = torch.tensor(slow_batch(task, task.train.inputs[:2]), dtype=torch.float64)
    torch.testing.assert_close(inputs, expected, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(task.offset, task.train.inputs.double().mean((0, 1, 2)).numpy(), rtol=1e-12)


def test_cifar_rows_have_the_colour_fastest(cifar_binary_tree):
    task = load("seq_cifar10", cifar_binary_tree[0], presentation="rows", normalise="unit")
    assert (task.steps, task.channels) == (32, 96)
    inputs, _ = task.batch(task.train, slice(0, 1))
    assert inputs[7, 0, 3 * 20 + 2] == task.train.inputs[0, 7, 20, 2] / 255


def test_cifar_test_file_is_not_opened_before_test(cifar_binary_tree):
    folder = cifar_binary_tree[0]
    (folder / "cifar-10-batches-bin/test_batch.bin").write_bytes(b"poison")
    task = load("seq_cifar10", folder)
    task.batch(task.train)
    with pytest.raises(InputError, match=r"truncated file.*test_batch\.bin"):
        task.test()


def test_missing_cifar_test_file_is_noticed_at_once(cifar_binary_tree):
    folder = cifar_binary_tree[0]
    (folder / "cifar-10-batches-bin/test_batch.bin").unlink()
    with pytest.raises(InputError, match=r"expected the test part at .*test_batch\.bin"):
        load("seq_cifar10", folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "truncated file: expected a multiple of 3073 bytes, got 24583"),
        (lambda data: data[:-3073], "truncated file: expected 8 images as in its siblings, got 7"),
        (lambda data: b"", "truncated file: expected a multiple of 3073 bytes, got 0"),
        (lambda data: b"\x0a" + data[1:], "label out of range: expected 0 to 9, got 10"),
        (None, "cannot read"),
    ],
)
def test_corrupt_cifar_binary_is_named(cifar_binary_tree, spoil, message):
    path = cifar_binary_tree[0] / "cifar-10-batches-bin/data_batch_1.bin"
    data = path.read_bytes()
    path.unlink()
    if spoil is not None:
        path.write_bytes(spoil(data))
    with pytest.raises(InputError, match=message) as caught:
        load("seq_cifar10", cifar_binary_tree[0])
    assert str(path) in str(caught.value)


def test_cifar_from_folders(tmp_path, write_images):
    written = write_images(tmp_path / "cifar10", CIFAR10_CLASSES, per_class=4, size=(32, 32))
    task = load("seq_cifar10", tmp_path, validation_size=10)
    assert (task.label, task.steps, task.channels) == ("sequential CIFAR-10 (JPEG)", 1024, 3)
    assert (len(task.train), len(task.validation), len(task.test())) == (30, 10, 40)
    label_of = {pixels.tobytes(): CIFAR10_CLASSES.index(path.split("/")[1]) for path, pixels in written.items()}
    for part in (task.train, task.validation, task.test()):
        for image, label in zip(part.inputs, part.labels.tolist(), strict=True):
            assert label_of.pop(image.numpy().tobytes()) == label
    assert not label_of


def test_cifar_prefers_its_binary_version(cifar_binary_tree, write_images):
    folder = cifar_binary_tree[0]
    write_images(folder / "cifar10", CIFAR10_CLASSES, per_class=1, size=(32, 32))
    assert load("seq_cifar10", folder).label == "sequential CIFAR-10"


def test_only_the_images_asked_for_are_decoded(tmp_path, write_images):
    write_images(tmp_path / "cifar10", CIFAR10_CLASSES, per_class=6, size=(32, 32), parts=("train",))
    (tmp_path / "cifar10/test").mkdir()
    options = {"train_size": 20, "validation_size": 10}
    kept = load("seq_cifar10", tmp_path, **options)
    needed = {i.numpy().tobytes() for part in (kept.train, kept.validation) for i in part.inputs}
    spoiled = 0
    for path in (tmp_path / "cifar10/train").rglob("*.png"):
        if np.asarray(Image.open(path)).tobytes() not in needed:
            path.write_bytes(b"poison")
            spoiled += 1
    assert spoiled == 30
    assert torch.equal(load("seq_cifar10", tmp_path, **options).train.inputs, kept.train.inputs)


def test_cifar_folders_must_be_cifar(tmp_path, write_images):
    write_images(tmp_path / "cifar10", ("cat", "dog"), per_class=4, size=(32, 32))
    with pytest.raises(InputError, match=r"expected the class folders airplane.*got cat, dog"):
        load("seq_cifar10", tmp_path)


def test_cifar_images_must_be_32_by_32(tmp_path, write_images):
    write_images(tmp_path / "cifar10", CIFAR10_CLASSES, per_class=2, size=(16, 16))
    with pytest.raises(InputError, match=r"expected an image of 32 x 32.*got 16 x 16: .*png"):
        load("seq_cifar10", tmp_path)


class FakeArchive:
    """Stands in for torchvision's download: copies from a folder, or fails."""

    def __init__(self, source: Path | None):
        self.source, self.urls = source, []

    def __call__(self, url, download_root, filename, md5):
        self.urls.append(url)
        if self.source is None:
            raise OSError("no route\nto host")
        name = filename.removesuffix(".gz")
        (Path(download_root) / name).write_bytes((self.source / name).read_bytes())


def test_download_fetches_only_what_is_missing(mnist_tree, tmp_path_factory, monkeypatch):
    source = mnist_tree() / "MNIST/raw"
    archive = FakeArchive(source)
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", archive)
    folder = tmp_path_factory.mktemp("data")
    config = TaskConfig(name="seq_mnist")
    task = load_task(config, data_dir=folder, download=True)
    assert (len(task.train), len(task.test()), len(archive.urls)) == (48, 20, 4)
    assert sorted(p.name for p in (folder / "MNIST/raw").iterdir()) == sorted(p.name for p in source.iterdir())
    load_task(config, data_dir=folder, download=True)
    assert len(archive.urls) == 4
    (folder / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    load_task(config, data_dir=folder, download=True)
    assert [url.rsplit("/", 1)[1] for url in archive.urls[4:]] == ["t10k-labels-idx1-ubyte.gz"]


def test_failed_download_is_one_line_after_every_mirror(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    archive = FakeArchive(None)
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", archive)
    with pytest.raises(InputError, match=r"download of MNIST into .* failed: no route to host"):
        load_task(TaskConfig(name="seq_mnist"), data_dir=tmp_path, download=True)
    assert len(archive.urls) == len(MNIST.mirrors)
    assert not list((tmp_path / "MNIST/raw").iterdir())


def test_real_mnist(real_data):
    torch.set_num_threads(1)
    task = load("seq_mnist", real_data)
    assert (len(task.train), len(task.validation), len(task.test())) == (48000, 12000, 10000)
    assert task.test().labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = torch.cat([task.train.inputs, task.validation.inputs]).double() / 255
    assert round(pixels.mean().item(), 4) == 0.1307
    assert round(pixels.std(correction=0).item(), 4) == 0.3081
    assert task.train.labels.bincount().min() == round(5421 * 0.8)


def test_real_cifar10_subset(real_data):
    task = load("seq_cifar10", real_data, train_size=1000, validation_size=500, test_size=200)
    assert task.label == "sequential CIFAR-10 (JPEG)"
    assert task.train.labels.bincount().tolist() == [100] * 10
    assert task.validation.labels.bincount().tolist() == [50] * 10
    assert task.test().labels.bincount().tolist() == [20] * 10
    np.testing.assert_allclose(np.array(task.offset) / 255, (0.4913, 0.4821, 0.4465), atol=0.02)
    np.testing.assert_allclose(np.array(task.scale) / 255, (0.2452, 0.2428, 0.2606), atol=0.02)


@pytest.mark.slow
def test_real_cifar10_whole(real_data):
    torch.set_num_threads(1)
    task = load("seq_cifar10", real_data)
    assert (len(task.train), len(task.validation), len(task.test())) == (40000, 10000, 10000)
    mean = task.test().inputs.double().mean((0, 1, 2)) / 255
    np.testing.assert_allclose(mean, (0.4941, 0.4851, 0.4504), atol=5e-5)


def test_a_small_compressed_file_that_unpacks_to_much_is_refused_before_it_does(tmp_path):
    header = struct.pack(">4B3I", 0, 0, 8, 3, 5, 4, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header + bytes(50 << 20)))
    with pytest.raises(InputError, match="bytes after its end: expected 96 bytes for 5 entries, got 97"):
        read_idx(path, shape=(4, 4))
    path.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 4, 4)))
    with pytest.raises(InputError, match="truncated IDX file"):
        read_idx(path, shape=(4, 4))
