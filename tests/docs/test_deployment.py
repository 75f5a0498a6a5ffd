"""Dockerfile, compose.yaml and the Kubernetes example name settings, commands, probes and files that exist."""

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from holdfast.cli import command_line
from holdfast.cli.serve import longest_stop
from holdfast.config import Settings, SystemSettings
from holdfast.stores import POSTGRES, REDIS
from holdfast.web.probes import LIVE_PATH, READY_PATH

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OBJECTS: dict[str, Any] = {
    each["kind"]: each for each in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
}
ENVIRONMENTS = sorted((ROOT / "deploy").glob("*.env"))
FILES = [ROOT / "Dockerfile", ROOT / "compose.yaml", *sorted((ROOT / "deploy").iterdir())]


def pod() -> dict[str, Any]:
    return dict(OBJECTS["Deployment"]["spec"]["template"]["spec"])


def containers() -> list[dict[str, Any]]:
    return [*pod()["initContainers"], *pod()["containers"]]


def commands() -> Iterator[list[str]]:
    """Yield what is run with our image, wherever that is said."""
    yield yaml.safe_load(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    yield from (each["args"] for each in containers())
    yield from (
        service["command"]
        for service in COMPOSE["services"].values()
        if service["image"] == "holdfast:local" and "command" in service
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_variable_is_a_setting(file: Path) -> None:
    known = {f"HOLDFAST_{name.upper()}" for name in Settings.model_fields}
    known |= {f"HOLDFAST_SAP_{name.upper()}" for name in SystemSettings.model_fields}
    assert set(re.findall(r"HOLDFAST_[A-Z_]+", file.read_text())) <= known


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_every_command_and_option_exists(words: list[str]) -> None:
    command: Any = get_command(command_line())
    rest = list(words)
    while rest and hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands")
    options = {name for option in command.params for name in option.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_probes_ask_what_is_answered_on_the_port_that_is_served() -> None:
    [server] = pod()["containers"]
    asked = {name: server[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert [asked[name]["path"] for name in asked] == [LIVE_PATH, LIVE_PATH, READY_PATH]
    assert {get["port"] for get in asked.values()} == {"http"}
    assert server["ports"] == [{"name": "http", "containerPort": Settings().port}]
    assert server["readinessProbe"]["timeoutSeconds"] > Settings().store_timeout
    assert f"EXPOSE {Settings().port}" in DOCKERFILE
    [look] = re.findall(r"^HEALTHCHECK .*?^  CMD (.*?)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    program, flag, code = json.loads(look)
    assert (program, flag, LIVE_PATH in code) == ("python", "-c", True)
    compile(code, "HEALTHCHECK", "exec")


def test_a_server_has_the_time_it_may_take_to_go_down() -> None:  # M18
    needed = longest_stop(Settings(systems={"dev": SystemSettings(url="https://sap")}))
    assert pod()["terminationGracePeriodSeconds"] >= needed
    for service in ("one", "two"):
        assert float(COMPOSE["services"][service]["stop_grace_period"].removesuffix("s")) >= needed


def test_the_image_copies_what_is_there_and_what_the_build_gets_to_see() -> None:
    *_, allowed = (ROOT / ".dockerignore").read_text().partition("*\n")
    shown = [line.removeprefix("!") for line in allowed.splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in shown), source


def test_the_image_installs_nothing_that_is_not_pinned_by_hash_and_runs_as_nobody_of_note() -> None:
    for line in re.findall(r"pip install.*", DOCKERFILE):
        assert "--require-hashes -r requirements/all.lock" in line
    for extra in ("redis", "asyncpg"):
        assert f"\n{extra}==" in f"\n{(ROOT / 'requirements' / 'all.lock').read_text()}"
    user, group = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)[0]
    context = pod()["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)
    assert f"--uid {user}" in DOCKERFILE


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.name)
def test_a_choice_of_store_names_a_profile_and_a_store_that_is_served_there(file: Path) -> None:
    chosen = dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))
    scheme, _, rest = chosen["HOLDFAST_STORE"].partition("://")
    assert scheme in (*REDIS, *POSTGRES)
    host = re.split(r"[:/]", rest.rpartition("@")[2])[0]
    assert COMPOSE["services"][host]["profiles"] == [chosen["COMPOSE_PROFILES"]]


def test_services_volumes_and_variables_of_compose_hang_together() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in services, name
            assert condition.get("required", True) is False or "profiles" not in services[needed], name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], name
    assert services["one"]["environment"] == services["two"]["environment"]
    assert {"HOLDFAST_KEYS", "HOLDFAST_TOKEN", "HOLDFAST_STORE"} <= set(services["one"]["environment"])
    assert services["redis"]["command"][1:3] == ["--maxmemory-policy", "noeviction"]  # E27


def test_what_pods_mount_and_read_is_named_in_the_example() -> None:
    volumes = {volume["name"] for volume in pod()["volumes"]}
    for container in containers():
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert container["envFrom"][0]["configMapRef"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
