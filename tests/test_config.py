import pytest
from support.tiny import tiny_space

from topo_search.config import apply_overrides, load_space, parse_run, shipped_spaces, space_to_yaml
from topo_search.errors import InputError

MINIMAL = """
name: small
task: {name: digits}
areas:
  - {role: input, size: 4}
  - {role: hidden, size: 4, count: 2}
  - {role: output, size: 4}
"""


def write(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped_spaces())
def test_shipped_spaces_are_valid_and_named_after_their_file(name):
    assert load_space(name).name == name


def test_a_resolved_space_reads_back_the_same(tmp_path):
    space = tiny_space(network={"dt": 0.1, "recipes": {64: {"density": 0.01, "magnitude": 5.0}}})
    path = write(tmp_path, space_to_yaml(space, {"seed": 3}))
    assert load_space(path) == space


BAD_FILES = {
    "typo": (MINIMAL + "training: {epoch: 3}", r"training.epoch: unknown entry; did you mean 'epochs'\?"),
    "unknown section": (MINIMAL + "trainings: {}", r"trainings: unknown entry; did you mean 'training'\?"),
    "typo in a list": (MINIMAL.replace("count", "cuont"), r"areas.1.cuont: unknown entry; did you mean 'count'\?"),
    "missing": ("name: x\ntask: {name: digits}", "areas: missing entry"),
    "no areas": ("name: x\ntask: {name: digits}\nareas: []", "areas: expected at least one area, got 0 areas"),
    "no input": (MINIMAL.replace("input", "hidden"), "areas: expected at least one area of role input"),
    "no output": (MINIMAL.replace("role: output", "role: hidden"), "areas: expected at least one area of role output"),
    "role": (MINIMAL.replace("role: input", "role: inptu"), "areas.0.role"),
    "zero units": (MINIMAL.replace("input, size: 4", "input, size: 0"), "areas.0.size.*greater than or equal to 1"),
    "half a unit": (MINIMAL.replace("input, size: 4", "input, size: 4.5"), "areas.0.size"),
    "channels of a hidden area": (
        MINIMAL.replace("hidden, size: 4", "hidden, size: 4, channels: [0]"),
        "areas.1: channels are given to an area of role hidden",
    ),
    "negative epochs": (
        MINIMAL + "training: {epochs: -3}",
        "training.epochs: input should be greater than or equal to 1, got -3",
    ),
    "nan": (MINIMAL + "training: {learning_rate: .nan}", "training.learning_rate"),
    "budget below need": (MINIMAL + "edges: {max_edges: 0}", "max_edges must be at least 1"),
    "output unreachable": (
        MINIMAL + "edges: {forbidden_roles: [[input, hidden], [input, output]]}",
        "no valid graph exists",
    ),
    "forbidden pair out of range": (MINIMAL + "edges: {forbidden_pairs: [[0, 9]]}", "9"),
    "family": (MINIMAL + "search: {random: [{family: clique}]}", "unknown family 'clique'"),
    "operator": (MINIMAL + "search: {evolution: {operators: {fly: 1}}}", "unknown operators"),
    "rungs fall": (MINIMAL + "ladder: {rungs: [4, 2]}", "rungs must be increasing"),
    "rungs too long": (MINIMAL + "ladder: {rungs: [4, 99]}", "ladder.rungs end at 99 epochs: expected at most"),
    "dt above tau": (MINIMAL + "network: {dt: 2.0}", "dt must not exceed tau"),
    "arm": (MINIMAL + "network: {stability: safe}", "network.stability"),
    "arm and integrator": (
        MINIMAL + "network: {stability: continuous, integrator: cayley}",
        "stability continuous runs with integrator euler",
    ),
    "schedule without cuts": (MINIMAL + "training: {schedule: step}", "schedule step needs cuts"),
    "path in a name": (MINIMAL.replace("name: small", "name: ../../up"), "name"),
    "repeated key": (MINIMAL + "training: {epochs: 3, epochs: 4}", "the key 'epochs' stands twice"),
    "alias": (MINIMAL + "training: &a {epochs: 3}\nladder: *a", "aliases are not used here"),
    "not yaml": ("name: [", "line 1: not YAML"),
    "python tag": ("name: !!python/object/apply:os.system ['true']", "not YAML"),
    "a list": ("- a\n- b", "expected a mapping"),
    "empty": ("", "expected a mapping"),
    "binary": ("\x00\x01", "not YAML"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_spaces_are_one_line_with_the_place(tmp_path, case):
    text, message = BAD_FILES[case]
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_space(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_several_problems_are_counted(tmp_path):
    path = write(tmp_path, MINIMAL + "training: {epochs: 0, batch_size: 0, lr: 1}")
    with pytest.raises(InputError, match=r"\(and 2 more\)"):
        load_space(path)


def test_a_space_that_is_not_there_names_those_that_are():
    with pytest.raises(InputError, match=r"no search space 'digts': expected a YAML file or one of .*digits"):
        load_space("digts")


def test_a_folder_is_no_space(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_space(tmp_path)


def test_overrides_by_path_by_name_and_into_lists():
    space = load_space("digits", overrides=["training.epochs=48", "stability=continuous", "areas.0.size=8"])
    assert space.training.epochs == 48
    assert space.network.stability == "continuous"
    assert space.constraints.areas[0].size == 8
    assert load_space("digits", overrides=["rungs=[1, 2]"]).ladder.rungs == (1, 2)
    assert load_space("digits", overrides=["edges.max_edges=null"]).edges.max_edges is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("epohcs=3", r"unknown entry; did you mean 'epochs'\?"),
        ("seeds=3", "the name stands for several entries, expected after.seeds or probe.seeds"),
        ("training.epochs=[", "expected a YAML value"),
        ("training.epochs=many", "training.epochs: input should be a valid integer"),
        ("training.epochs.more=1", "epochs is a value, expected a section"),
        ("areas.77.size=3", "'77' is not one of the 6 entries of the list"),
        ("nonsense.entry=3", "unknown entry"),
        ("trainig.epochs=3", r"^--set trainig.epochs: unknown entry; did you mean 'training.epochs'\?"),
        ("evolution.populaton=3", r"did you mean 'evolution.population'\?"),
        ("training.epoch=3", r"^--set training.epoch: unknown entry; did you mean 'epochs'\?"),
        ("training=3", "^--set training: expected a section with entries such as .*, got 3$"),
        ("training.epochs=", "^--set training.epochs: input should be a valid integer, got nothing$"),
        ("search.random=[{family: clique}]", "^--set search.random.0.family: unknown family 'clique'"),
        ("training.clip_norm=.inf", "^--set training.clip_norm: expected a finite number"),
        ("training.epochs=3", "^search space digits with --set: ladder.rungs end at 24 epochs"),
        ("training.schedule=step", "^search space digits with --set: training: schedule step needs cuts"),
    ],
)
def test_bad_overrides_are_one_line(override, message):
    with pytest.raises(InputError, match=message) as caught:
        load_space("digits", overrides=[override])
    assert "\n" not in str(caught.value)


def test_an_error_of_a_file_is_not_blamed_on_an_override(tmp_path):
    path = write(tmp_path, MINIMAL + "training: {epoch: 3}")
    with pytest.raises(InputError) as caught:
        load_space(path, overrides=["batch_size=8"])
    assert str(caught.value) == f"search space {path}: training.epoch: unknown entry; did you mean 'epochs'?"


def test_overrides_leave_the_values_as_they_were():
    values = {"training": {"epochs": 3}}
    apply_overrides(values, ["training.epochs=9"])
    assert values == {"training": {"epochs": 3}}


# Each of these ended in a traceback of PyYAML or of the JSON encoder, was taken for something else, or took minutes.
NO_SPACES = {
    "a date that is none": "name: !!timestamp x",
    "an integer without digits": "name: !!int ''",
    "a boolean that is none": "name: !!bool x",
    "a set": "name: !!set {a, b}",
    "bytes": "name: !!binary aGk=",
    "a month 13": "name: 2020-13-45",
    "thousands of digits": "name: 0x" + "f" * 5000,
    "the same key as text and as number": "{1: a, '1': b}",
    "a list as key": "{[a, b]: c}",
    "many keys": "{" + ", ".join(f"k{index}" for index in range(60_000)) + "}",
    "lists in lists": "name: " + "[" * 300 + "]" * 300,
    "infinity": MINIMAL + "training: {clip_norm: .inf}",
    "infinity as text": MINIMAL + "training: {clip_norm: 1e999}",
}


@pytest.mark.parametrize("case", NO_SPACES)
def test_what_yaml_can_say_beside_plain_values_is_refused(tmp_path, case):
    path = write(tmp_path, NO_SPACES[case])
    with pytest.raises(InputError, match=r"space\.yaml"):
        load_space(path)


@pytest.mark.parametrize("value", ["2020-13-45", "9" * 4400, "!!timestamp x", "[" * 300])
def test_an_override_that_is_no_plain_value_is_refused(value):
    with pytest.raises(InputError, match="epochs"):
        load_space(overrides=[f"training.epochs={value}"])


RUN = {"seed": 3, "budget": 20, "study": "small-1", "storage": None, "versions": {"python": "3"}}


def test_the_section_of_a_run_is_read_as_it_stands():
    assert parse_run({"name": "small", "run": RUN}, "space.yaml") == RUN


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"budget": "20"}, "run.budget"),
        ({"budget": 0}, "run.budget"),
        ({"seed": True}, "run.seed"),
        ({"seed": None}, "run.seed"),
        ({"study": ""}, "run.study"),
        ({"storage": 3}, "run.storage"),
        ({"data_dir": ["/"]}, "run.data_dir"),
    ],
)
def test_a_section_of_a_run_that_nothing_can_go_on_from_is_refused(changes, place):
    with pytest.raises(InputError, match=place):
        parse_run({"run": {**RUN, **changes}}, "space.yaml")


@pytest.mark.parametrize("run", [None, [], "x"])
def test_a_space_without_a_section_of_a_run_is_no_run(run):
    with pytest.raises(InputError, match="no section run"):
        parse_run({"run": run}, "space.yaml")
