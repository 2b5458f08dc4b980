"""Disks that are full, read-only or damaged, and files that a crash cut short."""

import contextlib
import csv
import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.searching import ScrambledExecutor
from support.tiny import tiny_network, tiny_space, tiny_task

from topo_search.errors import InputError, RunFailedError
from topo_search.files import disk_errors
from topo_search.graph import make_family
from topo_search.search import (
    Evaluation,
    EvaluationLog,
    Proposal,
    RunFolder,
    SearchDriver,
    SearchStudy,
    Trial,
    open_storage,
)
from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.storage.journal_lock import JournalLock, mend_end
from topo_search.training import TrainingConfig, restore_checkpoint, save_checkpoint, train
from topo_search.training.trainer import Trainer

SPACE = tiny_space()
BUDGET = 16


def drive(path, executor=None, *, url=None, budgets=(BUDGET,)):
    """A search as a run does it, with its locks and the words for a disk that fails."""
    folder = RunFolder(path)
    folder.create()
    lock = folder.lock()
    database = None
    try:
        database = None if url is None else DatabaseLock(url, "run")
        with disk_errors(path), contextlib.ExitStack() as stack:
            log = stack.enter_context(contextlib.closing(EvaluationLog(folder.log, lock=lock)))
            study = SearchStudy(open_storage(url or folder.journal), "run", space=SPACE, lock=database or lock)
            if study.budgets != list(budgets):
                study.add_budget(budgets[-1])
            driver = SearchDriver(
                SPACE, seed=0, study=study, log=log, executor=executor or ScrambledExecutor(), folder=folder
            )
            try:
                driver.run(study.budgets)
            except BaseException:
                driver.write_tables()
                raise
            return outcome(driver)
    finally:
        if database is not None:
            database.release()
        folder.unlock()


def outcome(driver):
    return [
        (n, t.graph.key, t.proposal, [r.score for r in t.results], t.state)
        for n, t in sorted(driver.decisions.trials.items())
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("whole"))


def rows(path):
    with (path / "trials.csv").open() as file:
        return list(csv.DictReader(file))


# ---- a full disk, and one that may not be written to


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 12 MB."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(point)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def fill(folder, *, leave=0):
    """Take all space but so many bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


@pytest.mark.parametrize("storage", ["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
@pytest.mark.parametrize("leave", [0, 4096, 12288, 24576, 49152])
def test_a_full_disk_ends_the_run_in_one_line_and_nothing_is_lost(small_disk, whole, leave, storage):
    run = small_disk / "run"
    url = None if storage == "journal" else f"sqlite:///{small_disk}/study.db"
    first = ScrambledExecutor(die_after=3)
    with pytest.raises(KeyboardInterrupt):
        drive(run, first, url=url)
    ballast = fill(small_disk, leave=leave)
    second = ScrambledExecutor(seed=1)
    with pytest.raises((RunFailedError, InputError), match=r"no space left|No space left|disk is full") as caught:
        drive(run, second, url=url)
    assert "\n" not in str(caught.value)
    ballast.unlink()
    third = ScrambledExecutor(seed=2)
    assert drive(run, third, url=url) == whole
    assert len(rows(run)) == BUDGET
    done = [request.key for executor in (first, second, third) for request in executor.evaluated]
    # One result may have been at hand when there was no room to write it.
    assert len(done) - len(set(done)) <= 1
    assert not list(run.rglob("*.tmp"))


def test_a_read_only_file_system_is_refused_at_the_start(small_disk):
    run = small_disk / "run"
    drive(run, budgets=(2,))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match=r"cannot be (written to|made)"):
        drive(run)
    with pytest.raises(InputError, match=r"cannot be (written to|made)"):
        drive(small_disk / "other")


@pytest.fixture
def immutable():
    """Make a folder one in which not even root may make files."""
    if shutil.which("chattr") is None or os.geteuid() != 0:
        pytest.skip("needs chattr and its permission")
    frozen = []

    def freeze(folder):
        done = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the file system knows no immutable folders: {done.stderr.strip()}")
        frozen.append(folder)

    yield freeze
    for folder in frozen:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


def test_a_folder_that_may_not_be_written_to_any_more(tmp_path, whole, immutable):
    run = tmp_path / "run"

    class Freezing(ScrambledExecutor):
        def wait(self, timeout=None):
            if len(self.evaluated) == 5:
                immutable(run)
            return super().wait(timeout)

    with pytest.raises(RunFailedError, match=f"^no permission to write to {run}: what was finished is kept"):
        drive(run, Freezing())
    subprocess.run(["chattr", "-i", str(run)], check=True)
    assert drive(run) == whole


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left in"),
        (errno.EDQUOT, "the disk quota is used up in"),
        (errno.EROFS, "the file system has become read-only:"),
        (errno.EACCES, "no permission to write to"),
        (errno.EIO, "the disk reports errors:"),
    ],
)
def test_what_a_disk_does_is_said_in_one_line(number, words):
    line = rf"^{words} /run: what was finished is kept, go on with resume$"
    with pytest.raises(RunFailedError, match=line), disk_errors(Path("/run")):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_are_not_taken_for_the_disk():
    with pytest.raises(FileNotFoundError), disk_errors(Path("/run")):
        raise FileNotFoundError(errno.ENOENT, "no such file")


def test_a_line_that_found_no_room_leaves_the_log_as_it_was(small_disk):
    from topo_search.search import Request

    log = EvaluationLog(small_disk / "log")
    for seed in range(20):
        log.start(Request("{}", 1, seed), label="x" * 100)
    before = (small_disk / "log").read_bytes()
    ballast = fill(small_disk)
    big = Request("{}", 1, 99)
    with pytest.raises(OSError, match="No space left"):
        log.start(big, label="x" * 9000)
    assert (small_disk / "log").read_bytes() == before
    assert log.attempts(big) == 0
    ballast.unlink()
    assert log.start(big, label="x") == 1
    log.close()
    assert EvaluationLog(small_disk / "log").attempts(big) == 1


# ---- files that a crash cut short


def a_trial(number, **options):
    graph = make_family("random_density", SPACE.constraints, np.random.default_rng(number))
    result = Evaluation(1 / 3, (1 / 3,), (1.0,), best_epoch=1, **options)
    return Trial(number, Proposal(graph, "evolution", "rewire_edge", (3, 4)), (result,), final=True)


LAST_RECORDS = {
    "budget": lambda study: study.add_budget(BUDGET),
    "run": lambda study: study.record_run({"seed": 0, "device": "cpu"}),
    "agreement": lambda study: study.record_agreement([{"epochs": 1, "tau": 0.5}]),
    "failed trial": lambda study: study.add(
        Trial(0, a_trial(0).proposal, (Evaluation.failure("diverged", "größer\n"),), final=True)
    ),
}


def study_of(path):
    return SearchStudy(open_storage(path), "run", space=SPACE)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in ("budget", "agreement") else pytest.mark.slow) for kind in LAST_RECORDS],
)
def test_a_journal_cut_at_every_byte_of_its_last_record_loses_that_record_alone(tmp_path, kind):
    path = tmp_path / "study.journal"
    study = study_of(path)
    before = path.read_bytes()
    LAST_RECORDS[kind](study)
    content = path.read_bytes()
    assert content.startswith(before)
    assert content.count(b"\n") == before.count(b"\n") + 1
    for cut in range(len(before), len(content)):
        path.write_bytes(content[:cut])
        mend_end(path, JournalLock(path))  # As opening does, without the time that reading takes.
        assert path.read_bytes() == before, f"cut after {cut} bytes"
    path.write_bytes(content[:-1])
    open_storage(path)
    assert path.read_bytes() == before
    LAST_RECORDS[kind](study_of(path))
    assert len(study_of(path).trials()) == len(study_of_copy(tmp_path, content).trials())


def study_of_copy(folder, content):
    (folder / "copy").write_bytes(content)
    return study_of(folder / "copy")


def test_a_journal_cut_while_the_study_is_made_is_made_anew(tmp_path):
    path = tmp_path / "study.journal"
    study_of(path)
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in [0, *(end + offset for end in ends for offset in (-1, 0)), len(content) // 2]:
        path.write_bytes(content[:cut])
        study = study_of(path)
        assert study.budgets == []
        study.add(a_trial(0))
        assert study_of(path).trials() == {0: a_trial(0)}


@pytest.mark.slow
@pytest.mark.parametrize("file", ["study.journal", "evaluations.jsonl"])
@pytest.mark.parametrize("die_after", [4, 12])
def test_a_run_whose_last_record_was_cut_comes_to_the_same_end(tmp_path, whole, file, die_after):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        drive(run, ScrambledExecutor(die_after=die_after))
    path = run / file
    content = path.read_bytes()
    begin = content.rfind(b"\n", 0, len(content) - 1) + 1
    for cut in range(begin, len(content)):
        path.write_bytes(content[:cut])
        if file == "study.journal":
            mend_end(path, JournalLock(path))
        else:
            EvaluationLog(path).close()
        assert path.read_bytes() == content[:begin], f"cut after {cut} bytes"
    # From all these cuts the file is the same, so a few tell of all how the search goes on.
    for cut in (begin, (begin + len(content)) // 2, len(content) - 1):
        copy = tmp_path / f"cut {cut}"
        shutil.copytree(run, copy)
        (copy / file).write_bytes(content[:cut])
        assert drive(copy) == whole


# ---- checkpoints


def everything_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.slow
def test_a_checkpoint_with_one_flipped_bit_anywhere_is_refused(tmp_path):
    task, config = tiny_task(), TrainingConfig(batch_size=20)
    path = tmp_path / "c"
    trainer = Trainer(tiny_network(), task, config, seed=0)
    trainer.train_epoch()
    save_checkpoint(path, trainer, identity="x")
    content = path.read_bytes()
    before = everything_of(trainer.network)
    bits = np.random.default_rng(0).integers(0, 8, len(content))
    for place in range(len(content)):
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << int(bits[place])
        path.write_bytes(spoiled)
        with pytest.raises(InputError):
            restore_checkpoint(path, trainer, identity="x")
    assert all(bool((value == before[name]).all()) for name, value in trainer.network.state_dict().items())


@pytest.mark.parametrize("region", ["length", "header", "digest", "first tensor", "last tensor"])
def test_training_begins_again_where_a_checkpoint_has_a_flipped_bit(tmp_path, region):
    task, config = tiny_task(), TrainingConfig(batch_size=20)
    path = tmp_path / "c"
    train(tiny_network(), task, config, epochs=2, seed=0, checkpoint=path, identity="x")
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    place = {
        "length": 0,
        "header": header // 2,
        "digest": content.index(b"sha256") + 12,
        "first tensor": header + 1,
        "last tensor": len(content) - 1,
    }[region]
    content[place] ^= 1 << 4
    path.write_bytes(content)
    network, fresh = tiny_network(), tiny_network()
    run = train(network, task, config, epochs=3, seed=0, checkpoint=path, identity="x")
    assert run.resumed_from == 0
    assert run.records == train(fresh, task, config, epochs=3, seed=0).records
    assert all(bool((value == everything_of(fresh)[name]).all()) for name, value in network.state_dict().items())
