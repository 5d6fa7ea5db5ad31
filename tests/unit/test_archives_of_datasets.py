"""A dataset's own files: verified, fetched from mirrors and publishers, unpacked; real servers, on loopback."""

import gzip
import hashlib
import io
import multiprocessing
import os
import signal
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from servers import serving
from waiting import wait_for

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.archives import unpacked
from adaptive_smoothing.data.datasets import cifar10, cifar100, fashion_mnist, mnist
from adaptive_smoothing.data.download import File, Part, obtain
from adaptive_smoothing.data.types import Source
from adaptive_smoothing.pipeline.commands.smoke import formats

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000).astype(np.uint8).tobytes()
PACKED = gzip.compress(CONTENT, mtime=0)
TRUNCATED = (PACKED[:1000], len(PACKED), 0)
NAME = "set/raw/images.gz"
LOCK = ".dataset-set.lock"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
forked = multiprocessing.get_context("fork")


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def server():
    with serving() as server:
        yield server


def file_at(*urls):
    part = Part("images", f"md5:{md5(CONTENT)}")
    return File("images.gz", f"md5:{md5(PACKED)}", folder="set/raw", urls=urls, parts=(part,))


def fetched(root, *urls, mirrors=(), timeout=0.5, retries=0):
    """Obtain the file, fetching allowed; return its bytes."""
    obtain("dataset set", [file_at(*urls)], Source(root, mirrors, timeout=timeout, retries=retries))
    return (root / NAME).read_bytes()


def tree(folder):
    """Return path → (bytes, time of last change) of all below a folder."""
    return {
        path.relative_to(folder): (path.read_bytes() if path.is_file() else None, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_an_absent_file_is_fetched_from_the_publisher_and_later_used(tmp_path, server):
    server.answers["/images.gz"] = [PACKED]
    for _ in range(2):
        assert fetched(tmp_path, f"{server.url}/images.gz") == PACKED
    assert server.requests == {"/images.gz": 1}
    assert files_below(tmp_path) == {NAME, LOCK}
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    current = os.umask(0)
    os.umask(current)
    return current


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("404", "404 Client Error"),
        ("503", "503 Server Error"),
        (TRUNCATED, "1000 bytes read"),
        (b"<html>log in</html>", rf"19 bytes with md5 \w+, expected {md5(PACKED)}"),
        ("hang", "no answer within 0.5 s"),
    ],
    ids=["404", "busy", "truncated", "wrong", "hanging"],
)
def test_a_source_that_fails_is_named_and_the_next_is_tried(tmp_path, server, capfd, answer, reason):
    server.answers = {"/bad/images.gz": [answer], "/good/images.gz": [PACKED]}
    good, bad = f"{server.url}/good/images.gz", f"{server.url}/bad"
    assert fetched(tmp_path / "first", good, mirrors=(bad,)) == PACKED
    assert server.requests == {"/bad/images.gz": 1, "/good/images.gz": 1}
    assert f"{bad}/images.gz: " in capfd.readouterr().out
    with pytest.raises(UserError, match=rf"dataset set: images.gz cannot be fetched \({bad}/images.gz: .*{reason}"):
        fetched(tmp_path / "other", f"{bad}/images.gz")
    assert files_below(tmp_path / "other") == {LOCK}


@pytest.mark.parametrize(
    "first", ["hang", "503", TRUNCATED, b"other"], ids=["hanging", "busy", "truncated", "wrong bytes"]
)
def test_what_fails_once_is_tried_again_at_the_same_source(tmp_path, server, first):
    server.answers["/images.gz"] = [first, PACKED]
    assert fetched(tmp_path, f"{server.url}/images.gz", retries=1) == PACKED
    assert server.requests == {"/images.gz": 2}


def test_nobody_answering_is_one_sentence_that_lists_all_and_says_what_to_do(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening: refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError) as refused:
            fetched(tmp_path, f"{url}/images.gz", mirrors=("/no/such", f"{url}/m/"))
    assert str(refused.value) == (
        f"dataset set: images.gz cannot be fetched (/no/such: no such folder; {url}/m/images.gz: Connection refused; "
        f"{url}/images.gz: Connection refused); without internet, put it (md5:{md5(PACKED)}) at {tmp_path / NAME}, "
        f"or name a folder that has it in data_root or among the dataset's mirrors"
    )


def test_mirrors_come_first_in_their_order(tmp_path, server):
    folders = [tmp_path / name for name in ("empty", "wrong", "right", "unused")]
    for folder, data in zip(folders, (None, b"wrong", PACKED, PACKED), strict=True):
        folder.mkdir()
        if data is not None:
            write(folder / "images.gz", data)
    mirrors = (f"{server.url}/", *map(str, folders))
    assert fetched(tmp_path / "root", f"{server.url}/publisher/images.gz", mirrors=mirrors) == PACKED
    assert server.requests == {"/images.gz": 1}, "the URL mirror was first, the publisher was not asked"


@pytest.mark.parametrize(
    ("held", "data", "obtained"),
    [
        ("images.gz", PACKED, NAME),
        (NAME, PACKED, NAME),
        ("images.gz", gzip.compress(CONTENT, 1), NAME),  # packed anew, as Debian does
        ("images", CONTENT, "set/raw/images"),
        ("set/raw/images", CONTENT, "set/raw/images"),
    ],
    ids=["flat", "own layout", "packed anew", "unpacked", "unpacked, own layout"],
)
def test_a_mirror_folder_may_hold_the_file_in_any_form(tmp_path, held, data, obtained):
    write(tmp_path / "mirror" / held, data)
    source = Source(tmp_path / "root", mirrors=(str(tmp_path / "mirror"),))
    before = tree(tmp_path / "mirror")
    with unpacked("dataset set", [file_at()], source) as folder:
        assert (folder / "set/raw/images").read_bytes() == CONTENT
    assert not folder.exists()
    assert files_below(tmp_path / "root") == {obtained, LOCK}
    assert tree(tmp_path / "mirror") == before


def test_a_url_may_hold_the_content_packed_anew(tmp_path, server):
    server.answers["/images.gz"] = [again := gzip.compress(CONTENT, 1)]
    assert fetched(tmp_path, f"{server.url}/images.gz") == again


def test_a_mirror_by_file_url(tmp_path):
    write(tmp_path / "a mirror/images.gz", PACKED)
    assert fetched(tmp_path / "root", mirrors=((tmp_path / "a mirror").as_uri(),)) == PACKED


def test_a_mirror_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="mirror 's3://bucket': cannot read s3://; legal: http://, https://, file://"):
        fetched(tmp_path, mirrors=("s3://bucket",))


@pytest.mark.parametrize("broken", [PACKED[:5000], b"", PACKED[:-1] + b"x"], ids=["truncated", "empty", "altered"])
def test_a_broken_file_is_named_removed_and_fetched_again(tmp_path, server, capfd, broken):
    write(tmp_path / NAME, broken)
    server.answers["/images.gz"] = [PACKED]
    assert fetched(tmp_path, f"{server.url}/images.gz") == PACKED
    assert f"{tmp_path / NAME} is truncated or damaged ({len(broken):,} bytes" in capfd.readouterr().out


def test_a_broken_file_that_comes_broken_again_is_an_error_and_is_not_left(tmp_path, server):
    write(tmp_path / NAME, PACKED[:5000])
    server.answers["/images.gz"] = [PACKED[:6000]]
    with pytest.raises(UserError, match=r"cannot be fetched .* is truncated or damaged \(6,000 bytes"):
        fetched(tmp_path, f"{server.url}/images.gz")
    assert files_below(tmp_path) == {LOCK}


def test_a_named_folder_is_verified_and_never_written(tmp_path, server):
    server.answers["/a.gz"] = server.answers["/b.gz"] = [PACKED]
    files = [
        File(
            f"{name}.gz",
            f"md5:{md5(PACKED)}",
            folder="",
            urls=(f"{server.url}/{name}.gz",),
            parts=(Part(name, f"md5:{md5(CONTENT)}"),),
        )
        for name in "abc"
    ]
    write(tmp_path / "a.gz", PACKED[:100])
    write(tmp_path / "c.gz", PACKED)
    before = tree(tmp_path)
    with pytest.raises(UserError) as refused:
        obtain("dataset set", files, Source(tmp_path, mirrors=(server.url,), fetch=False))
    message = str(refused.value)
    assert f"{tmp_path}/a.gz is truncated or damaged (100 bytes with md5 {md5(PACKED[:100])}" in message
    assert f"{tmp_path}/b.gz is missing (md5:{md5(PACKED)}), published at {server.url}/b.gz" in message
    assert "c.gz" not in message
    assert tree(tmp_path) == before
    write(tmp_path / "b", CONTENT[:-1])
    write(tmp_path / "a.gz", PACKED)
    with pytest.raises(UserError, match=rf"{tmp_path}/b is truncated or damaged"):
        obtain("dataset set", files, Source(tmp_path, fetch=False))
    write(tmp_path / "b", CONTENT)
    before = tree(tmp_path)
    with unpacked("dataset set", files, Source(tmp_path, fetch=False)) as folder:
        assert [(folder / name).read_bytes() == CONTENT for name in "abc"] == [True] * 3
    assert tree(tmp_path) == before
    assert not server.requests


def test_other_data_in_the_same_format_need_no_checksum_but_must_be_there(tmp_path):
    source = Source(tmp_path, fetch=False, published=False)
    with pytest.raises(UserError, match=rf"{tmp_path / NAME} is missing"):
        obtain("dataset set", [file_at()], source)
    write(tmp_path / NAME, gzip.compress(b"tiny"))
    with unpacked("dataset set", [file_at()], source) as folder:
        assert (folder / "set/raw/images").read_bytes() == b"tiny"
    write(tmp_path / NAME, PACKED[:5000])
    with (
        pytest.raises(UserError, match=rf"dataset set: {tmp_path / NAME} cannot be unpacked .*ended before"),
        unpacked("dataset set", [file_at()], source),
    ):
        pass


def fetching(root, url, timeout=0.5):
    """Start a process that fetches `url`, and a second time if the first fails."""
    child = forked.Process(target=fetched, args=(root, url), kwargs={"timeout": timeout, "retries": 1})
    child.start()
    return child


def test_two_processes_fetch_once(tmp_path, server):
    server.answers["/images.gz"] = [(PACKED, len(PACKED), 0.3)]
    children = [fetching(tmp_path, f"{server.url}/images.gz") for _ in range(2)]
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
    assert (tmp_path / NAME).read_bytes() == PACKED
    assert server.requests == {"/images.gz": 1}


def test_who_comes_second_waits_says_so_and_uses_what_the_first_fetched(tmp_path, server, capfd):
    server.answers["/images.gz"] = [(PACKED[:5000], len(PACKED), 30), PACKED]  # the first never ends
    child = fetching(tmp_path, f"{server.url}/images.gz")
    wait_for(lambda: server.requests["/images.gz"] == 1, 20)
    assert fetched(tmp_path, f"{server.url}/images.gz") == PACKED
    child.join(20)
    assert child.exitcode == 0
    assert server.requests == {"/images.gz": 2}, "one process's two attempts"
    assert f"{LOCK}: another process is fetching these files; waiting for it" in capfd.readouterr().out


def test_a_process_killed_while_fetching_leaves_nothing_that_is_taken_for_whole(tmp_path, server):
    server.answers["/images.gz"] = [(PACKED[:5000], len(PACKED), 30), PACKED]
    child = fetching(tmp_path, f"{server.url}/images.gz", timeout=20)
    wait_for(lambda: server.requests["/images.gz"] == 1, 20)
    os.kill(child.pid, signal.SIGKILL)
    child.join(10)
    assert not (tmp_path / NAME).exists() and len(files_below(tmp_path)) > 1
    with pytest.raises(UserError, match="is missing"):
        obtain("dataset set", [file_at()], Source(tmp_path, fetch=False))
    assert fetched(tmp_path, f"{server.url}/images.gz") == PACKED
    assert files_below(tmp_path) == {NAME, LOCK}


def tar_of(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def tar_file(packed):
    parts = (Part("batches/one", f"md5:{md5(b'1')}"), Part("batches/two", f"md5:{md5(b'22')}"))
    return File("all.tar.gz", f"md5:{md5(packed)}", folder="", urls=(), parts=parts)


def test_a_tar_is_unpacked_into_a_folder_of_its_own(tmp_path):
    packed = tar_of({"batches/one": b"1", "./batches/two": b"22"})
    write(tmp_path / "root/all.tar.gz", packed)
    with unpacked("dataset set", [tar_file(packed)], Source(tmp_path / "root", fetch=False)) as folder:
        assert files_below(folder) == {"batches/one", "batches/two"}
        assert (folder / "batches/two").read_bytes() == b"22"
    assert files_below(tmp_path) == {"root/all.tar.gz"}


def test_a_tar_that_leaves_its_folder_is_refused(tmp_path):
    packed = tar_of({"batches/one": b"1", "../outside": b"x"})
    write(tmp_path / "root/all.tar.gz", packed)
    with (
        pytest.raises(UserError, match=r"dataset set: .*all.tar.gz cannot be unpacked into .*outside the destination"),
        unpacked("dataset set", [tar_file(packed)], Source(tmp_path / "root", fetch=False)),
    ):
        pass


def test_parts_left_by_a_killed_unpacking_are_not_taken_for_whole(tmp_path):
    packed = tar_of({"batches/one": b"1", "batches/two": b"22"})
    write(tmp_path / "root/batches/one", b"1")
    write(tmp_path / "root/batches/two", b"2")
    with pytest.raises(UserError, match=r"all.tar.gz is missing .*; .*batches/two is truncated"):
        obtain("dataset set", [tar_file(packed)], Source(tmp_path / "root", fetch=False))
    (tmp_path / "root/batches/two").unlink()
    with pytest.raises(UserError, match=r"all.tar.gz is missing .*; .*batches/two is missing"):
        obtain("dataset set", [tar_file(packed)], Source(tmp_path / "root", fetch=False))
    write(tmp_path / "mirror/all.tar.gz", packed)
    source = Source(tmp_path / "root", (str(tmp_path / "mirror"),))
    with unpacked("dataset set", [tar_file(packed)], source) as folder:
        assert (folder / "batches/two").read_bytes() == b"22"


@pytest.mark.parametrize(
    ("module", "write_set", "archives"),
    [
        (mnist, formats.write_mnist, 4),
        (fashion_mnist, lambda root: formats.write_mnist(root, folder="FashionMNIST"), 4),
        (cifar10, formats.write_cifar10, 1),
        (cifar100, formats.write_cifar100, 1),
    ],
    ids=["mnist", "fashion_mnist", "cifar10", "cifar100"],
)
def test_torchvision_reads_packed_archives_of_a_folder_that_is_only_read(tmp_path, module, write_set, archives):
    write_set(tmp_path)
    before = tree(tmp_path)
    own = Source(tmp_path, fetch=False, published=False)
    arrays = module.make(module.Options(), 0, own)
    assert len(arrays.test_labels) == 20 and set(arrays.train_labels.tolist()) <= set(range(module.CLASSES))
    with pytest.raises(UserError) as refused:
        module.make(module.Options(), 0, Source(tmp_path, fetch=False))
    assert str(refused.value).count("is truncated or damaged") == archives
    assert tree(tmp_path) == before
    for path in tmp_path.rglob("*.gz"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"dataset \w+: .*gz cannot be unpacked"):
        module.make(module.Options(), 0, own)


def test_cifar_that_holds_something_else_is_named(tmp_path):
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    write(tmp_path / "cifar-10-python.tar.gz", tar_of({f"cifar-10-batches-py/{name}": b"text" for name in names}))
    with pytest.raises(UserError, match=rf"dataset CIFAR10: torchvision cannot read {tmp_path}/cifar-10-python.tar.gz"):
        cifar10.make(cifar10.Options(), 0, Source(tmp_path, fetch=False, published=False))


def test_cifar_published_is_fetched_and_read_with_torchvisions_own_checks(tmp_path, server, monkeypatch):
    """The whole way with published checksums, those of the tiny archive in the place of the true ones."""
    formats.write_cifar10(tmp_path / "published")
    packed = (tmp_path / "published/cifar-10-python.tar.gz").read_bytes()
    server.answers["/cifar-10-python.tar.gz"] = [packed]
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        sums = {Path(m.name).name: md5(tar.extractfile(m).read()) for m in tar if m.isreg()}
    original = torchvision.datasets.CIFAR10
    for key in ("train_list", "test_list"):
        monkeypatch.setattr(original, key, [[name, sums[name]] for name, _ in getattr(original, key)])
    monkeypatch.setattr(original, "meta", {**original.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(original, "tgz_md5", md5(packed))
    monkeypatch.setattr(original, "url", f"{server.url}/cifar-10-python.tar.gz")
    first = cifar10.make(cifar10.Options(), 0, Source(tmp_path / "root"))
    assert server.requests == {"/cifar-10-python.tar.gz": 1}
    again = cifar10.make(cifar10.Options(), 0, Source(tmp_path / "published", fetch=False))
    np.testing.assert_array_equal(first.train_images, again.train_images)
    monkeypatch.setattr(original, "test_list", [["test_batch", md5(b"other")]])
    with pytest.raises(UserError, match=r"torchvision cannot read .*corrupted"):
        cifar10.make(cifar10.Options(), 0, Source(tmp_path / "published", fetch=False))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_as_a_mirror_gives_the_published_bytes(tmp_path):
    dead = "http://127.0.0.1:9"  # the publisher must not be needed
    arrays = fashion_mnist.make(fashion_mnist.Options(), 0, Source(tmp_path, (dead, str(DEBIAN)), retries=0))
    assert arrays.train_images.shape == (60000, 1, 28, 28)
    assert np.bincount(arrays.train_labels).tolist() == [6000] * 10
    header = np.array([0x803, 10000, 28, 28], dtype=">u4").tobytes()
    # Fashion-MNIST's own sum of the unpacked test images
    assert md5(header + arrays.test_images.tobytes()) == "8181f5470baa50b63fa0f6fddb340f0a"
    assert len(files_below(tmp_path)) == 5
