import pytest

from topo_search.search.retries import Retries


@pytest.mark.parametrize(
    ("loss", "tries"), [("worker lost", 3), ("node lost", 20), ("out of memory", 2), ("timed out", 1)]
)
def test_each_loss_has_its_number_of_tries(loss, tries):
    retries = Retries()
    assert [retries.again(loss) for _ in range(tries)] == [True] * (tries - 1) + [False]


def test_losses_are_counted_by_class():
    retries = Retries()
    lost = ["node lost"] * 10 + ["worker lost"] * 2 + ["out of memory"] + ["node lost"] * 9
    assert all(retries.again(loss) for loss in lost)
    assert not retries.again("worker lost")


def test_memory_doubles_where_it_ran_out_and_only_there():
    retries = Retries()
    assert retries.memory_factor == 1
    retries.again("worker lost")
    retries.again("node lost")
    assert retries.memory_factor == 1
    retries.again("out of memory")
    assert retries.memory_factor == 2
    retries.again("worker lost")
    assert retries.memory_factor == 2
