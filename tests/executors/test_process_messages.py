import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_search.executors import messages
from topo_search.executors.messages import Messages, decode, encode


@pytest.fixture
def ends():
    mine, its = socket.socketpair()
    its.settimeout(30)
    with mine, its:
        yield Messages(mine), its


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=4), st.data())
def test_messages_arrive_whole_and_in_order_however_they_are_cut(sent, data):
    content = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    mine, its = socket.socketpair()
    with mine, its:
        driver, received = Messages(mine), []
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            its.sendall(content[start:end])
            received += driver.receive()
    assert received == sent


def test_half_a_message_is_waited_for_without_blocking(ends):
    driver, its = ends
    its.sendall(b'{"ticket"')
    assert driver.receive() == []
    its.sendall(b': 1}\n{"ti')
    assert driver.receive() == [{"ticket": 1}]
    its.close()
    assert driver.receive() == []
    assert driver.ended


@pytest.mark.parametrize(
    "line", [b"garbage", b"", b"\xff\xfe", b"[1]", b"1", b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000, b"{" * 9]
)
def test_what_is_no_message_is_refused(ends, line):
    driver, its = ends
    its.sendall(line + b"\n")
    with pytest.raises(ValueError):  # noqa: PT011 - one of JSON's, of UTF-8's or our own
        driver.receive()
    with pytest.raises(ValueError):  # noqa: PT011
        decode(line)


def test_a_line_without_end_is_refused(ends, monkeypatch):
    monkeypatch.setattr(messages, "LONGEST_LINE", 1000)
    driver, its = ends
    its.sendall(b"x" * 1001)
    with pytest.raises(ValueError, match="too long"):
        driver.receive()


def test_numbers_that_json_has_not_are_not_sent():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"score": float("nan")})


def test_what_the_other_end_does_not_take_is_sent_later(ends):
    driver, its = ends
    message = {"graph": "x" * 3_000_000}
    driver.send(message)
    assert driver.unsent
    received = b""
    while not received.endswith(b"\n"):
        received += its.recv(1 << 20)
        driver.flush()
    assert decode(received) == message
    assert not driver.unsent


def test_sending_to_a_worker_that_is_gone_raises_nothing(ends):
    driver, its = ends
    its.close()
    driver.send({"ticket": 1})
    assert not driver.unsent
    assert driver.receive() == []
    assert driver.ended
