"""Matrices of other programs: which conventions hold in which metric, and every way of not being judgeable."""

import io
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from topo_search import certify_arrays
from topo_search.errors import InputError
from topo_search.model.certificate.plain import certify_plain, load_plain
from topo_search.seeds import generator


def sparse_area(rng, n):
    """Sparse weights of spectral radius of |W| 0.8 or 0, and the diagonal metric of Theorem 1."""
    weights = np.where(rng.random((n, n)) < 0.3, rng.uniform(-4, 4, (n, n)), 0.0)
    np.fill_diagonal(weights, 0.0)
    radius = np.abs(np.linalg.eigvals(np.abs(weights))).max()
    weights *= 0.8 / radius if radius > 1e-6 else 1.0
    resolvent = np.linalg.inv(np.eye(n) - np.abs(weights))
    return weights, resolvent.sum(axis=0) / resolvent.sum(axis=1)


def network(case=0, *, sizes=(3, 3), strength=0.1, dt=0.01):
    rng, n = generator("plain", case), sum(sizes)
    ends = np.cumsum([0, *sizes])
    weights, metric = np.zeros((n, n)), np.zeros(n)
    for first, last in pairwise(ends.tolist()):
        weights[first:last, first:last], metric[first:last] = sparse_area(rng, last - first)
    lower = np.zeros((n, n))
    lower[sizes[0] :, : sizes[0]] = strength * rng.normal(size=(n - sizes[0], sizes[0]))
    return {"W": weights, "L": lower, "M": metric, "dt": np.array(dt), "sizes": np.array(sizes)}


def feedback(lower, metric):
    return lower - np.linalg.solve(metric, lower.T @ metric)


def full(metric):
    return np.diag(metric) if metric.ndim == 1 else metric


def test_negative_feedback_in_the_metric_is_certified_and_costs_no_rate():
    """Test 6."""
    for case in range(20):
        arrays = network(case)
        metric = full(arrays["M"])
        arrays["L"] = feedback(arrays["L"], metric)
        skew = metric @ arrays["L"]
        assert np.abs(skew + skew.T).max() < 1e-9 * max(1.0, np.abs(skew).max())
        certificate = certify_plain({**arrays, "dt": np.array(1e-4)})
        alone = certify_plain({**arrays, "L": 0 * arrays["L"], "dt": np.array(1e-4)})
        assert certificate.certified, certificate.reason
        assert certificate.notes == ()
        assert certificate.rate == pytest.approx(alone.rate, abs=1e-5)


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_feedback_of_another_convention_is_refused_for_its_symmetric_part(strength):
    """Test 6: ``L = B - B^T`` with M no multiple of the identity, and M and its inverse exchanged."""
    for case in range(20):
        arrays = network(case, strength=strength)
        metric, lower = full(arrays["M"]), arrays["L"]
        if np.ptp(np.log(arrays["M"])) < 2:
            continue
        for wrong in (lower - lower.T, lower - metric @ lower.T @ np.linalg.inv(metric)):
            certificate = certify_plain({**arrays, "L": wrong, "dt": np.array(1e-3)})
            root = np.sqrt(arrays["M"])
            seen = root[:, None] * wrong / root
            largest = np.linalg.eigvalsh(seen + seen.T)[-1] / 2
            assert certificate.coupling_symmetric_part == pytest.approx(largest, rel=1e-6)
            assert any("not negative feedback in this metric" in note for note in certificate.notes)
            # A symmetric part above what areas can bear at best, their rate of 1, is fatal.
            assert not (certificate.certified and largest > 1)
    arrays = network(3, strength=strength)
    lower = arrays["L"]
    multiple = {"M": np.full(6, 7.0), "W": 0.1 * np.eye(6), "L": lower - lower.T, "dt": np.array(1e-4)}
    assert certify_plain(multiple).certified


def test_a_metric_that_is_not_diagonal_is_judged_by_its_own_rate():
    for case in range(20):
        rng = generator("theorem 2", case)
        vectors = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        values = np.array([0.7, *rng.uniform(-3, 0.7, 3)])
        theta = 1 + np.sqrt(1 - values / 0.7)
        weights, metric = vectors * values @ vectors.T, vectors / theta**2 @ vectors.T
        arrays = {"W": weights, "L": np.zeros((4, 4)), "dt": np.array(0.02)}
        certificate = certify_plain({**arrays, "M": metric})
        assert certificate.certified, certificate.reason
        assert certificate.rate == pytest.approx(0.3, abs=1e-6)
        skewed = np.linalg.solve(metric, np.triu(np.ones((4, 4)), 1) - np.tril(np.ones((4, 4)), -1))
        assert certify_plain({**arrays, "L": skewed, "M": metric, "dt": np.array(1e-3)}).certified
        # Exchanged with its inverse it is no metric of these weights.
        exchanged = certify_plain({**arrays, "M": np.linalg.inv(metric)})
        assert exchanged.rate < certificate.rate


def test_weights_that_pass_elementwise_products_are_refused():
    """Test 7."""
    for case in range(10):
        weights = 1e4 * generator("elementwise", case).normal(size=(8, 8))
        np.fill_diagonal(weights, 0.0)
        metric = 0.5 * np.eye(8)
        # What is checked there: M * (|W| - I) element by element, whose symmetric part is minus the identity.
        checked = metric * (np.abs(weights) - np.eye(8))
        assert np.linalg.eigvalsh(checked + checked.T)[-1] < 0
        certificate = certify_plain({"W": weights, "L": np.zeros((8, 8)), "M": metric, "dt": np.array(0.03)})
        assert not certificate.certified
        assert certificate.rate < -1e3
        assert certificate.rho_lower > 1


def test_without_a_metric_the_identity_is_judged_and_theorem_1_is_offered():
    arrays = network(3)
    without = certify_plain({name: array for name, array in arrays.items() if name != "M"})
    assert without.notes[0] == "no M was given: judged in the identity metric" or "not negative" in without.notes[0]
    (offer,) = [note for note in without.notes if "Theorem 1" in note]
    rate = float(offer.split("at rate ")[1].split(":")[0])
    root = np.sqrt(arrays["M"])
    magnitudes = np.abs(root[:, None] * arrays["W"] / root)
    assert rate == pytest.approx(1 - np.linalg.eigvalsh(magnitudes + magnitudes.T)[-1] / 2, rel=1e-3)
    strong = certify_plain({"W": 3 * np.ones((4, 4)), "L": np.zeros((4, 4)), "dt": np.array(0.1)})
    assert not [note for note in strong.notes if "Theorem 1" in note]


def test_slopes_and_time_constants_scale_the_verdict():
    arrays = {"W": 0.3 * np.array([[0.0, 1.0], [1.0, 0.0]]), "L": np.zeros((2, 2)), "dt": np.array(0.1)}
    assert certify_plain(arrays).rate == pytest.approx(0.7, abs=1e-6)
    assert certify_plain({**arrays, "slope": np.array(3.0)}).rate == pytest.approx(0.1, abs=1e-6)
    assert not certify_plain({**arrays, "slope": np.array(4.0)}).certified
    slow = certify_plain({**arrays, "tau": np.array(10.0)})
    assert slow.rho == pytest.approx(1 - 0.01 * 0.7, abs=1e-6)


GOOD = {"W": np.zeros((3, 3)), "L": np.zeros((3, 3)), "dt": np.array(0.1)}
BAD = {
    "no W": ({"W": None}, "missing W"),
    "no L": ({"L": None}, "missing L"),
    "no dt": ({"dt": None}, "missing dt"),
    "slopes": (
        {"slopes": np.array(3.0)},
        "network.npz: unknown array 'slopes': expected W, L, M, dt, tau, slope, sizes (did you mean 'slope'?)",
    ),
    "lower case": ({"m": np.ones(3)}, "unknown array 'm': expected W, L, M, dt, tau, slope, sizes"),
    "empty name": ({"": np.ones(3)}, "unknown array ''"),
    "W not square": ({"W": np.zeros((3, 2))}, "W cannot be judged: expected a square matrix"),
    "W a vector": ({"W": np.zeros(3)}, "expected a square matrix"),
    "nothing": ({"W": np.zeros((0, 0)), "L": np.zeros((0, 0))}, "expected a square matrix"),
    "L of another shape": ({"L": np.zeros((2, 2))}, "expected the shape of W"),
    "NaN": ({"W": np.full((3, 3), np.nan)}, "found NaN or infinity"),
    "infinity": ({"L": np.full((3, 3), np.inf)}, "found NaN or infinity"),
    "complex": ({"W": 1j * np.zeros((3, 3))}, "expected real numbers"),
    "text": ({"W": np.full((3, 3), "a")}, "expected real numbers"),
    "negative metric": ({"M": np.array([1.0, -1.0, 1.0])}, "M is not a metric: expected a positive definite matrix"),
    "singular metric": ({"M": np.ones((3, 3))}, "positive definite"),
    "indefinite metric": ({"M": np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]])}, "positive definite"),
    "metric not symmetric": ({"M": np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])}, "symmetric"),
    "metric of another shape": ({"M": np.ones(4)}, "expected shape (3,) or (3, 3)"),
    "zero dt": ({"dt": np.array(0.0)}, "expected 0 < dt <= tau"),
    "dt beyond tau": ({"dt": np.array(2.0)}, "expected 0 < dt <= tau"),
    "two dt": ({"dt": np.array([0.1, 0.1])}, "expected one number"),
    "negative slope": ({"slope": np.array(-1.0)}, "slope cannot be judged"),
    "sizes that do not sum": ({"sizes": np.array([1, 1])}, "sum to 3"),
    "sizes that are no integers": ({"sizes": np.array([1.5, 1.5])}, "sum to 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_cannot_be_judged_are_refused_in_one_line(name, tmp_path):
    changes, message = BAD[name]
    arrays = {key: array for key, array in {**GOOD, **changes}.items() if array is not None}
    np.savez(tmp_path / "network.npz", **arrays)
    with pytest.raises(InputError) as error:
        certify_arrays(tmp_path / "network.npz")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_array_is_refused_in_memory_too():
    with pytest.raises(InputError, match=r"^unknown array 'slopes': expected"):
        certify_plain({**GOOD, "slopes": np.array(3.0)})


def test_a_member_that_numpy_would_read_under_a_known_name_is_not_passed_over(tmp_path):
    path = tmp_path / "network.npz"
    np.savez(path, **GOOD)
    with io.BytesIO() as buffer, zipfile.ZipFile(path, "a") as archive:
        np.save(buffer, np.array(3.0))
        archive.writestr("slope", buffer.getvalue())
    assert np.load(path)["slope"] == 3.0
    with pytest.raises(InputError, match=r"unknown array 'slope \(no .npy\)'"):
        certify_arrays(path)


def test_files_that_are_no_archives_are_refused_in_one_line(tmp_path):
    good = tmp_path / "good.npz"
    np.savez(good, **GOOD)
    assert certify_arrays(good).certified
    content = good.read_bytes()
    for index, spoiled in enumerate((b"", b"rubbish", content[: len(content) // 2], b"PK\x03\x04" + b"x" * 50)):
        (tmp_path / f"{index}.npz").write_bytes(spoiled)
    np.save(tmp_path / "array.npy", np.zeros((3, 3)))
    np.savez(tmp_path / "objects.npz", W=np.array([{"a": 1}], dtype=object), L=np.zeros((3, 3)), allow_pickle=True)
    paths = [*(f"{index}.npz" for index in range(4)), "array.npy", "objects.npz", "missing.npz", "."]
    for path in paths:
        with pytest.raises(InputError) as error:
            load_plain(tmp_path / path)
        assert "\n" not in str(error.value), path
    flipped = bytearray(content)
    flipped[80] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(bytes(flipped))
    with pytest.raises(InputError):
        certify_arrays(tmp_path / "flipped.npz")
