#!/usr/bin/env python3
"""Checks docker/ as far as that goes without an engine.

    tests/docker/check.py [PATH OF hitters]

Needs the packages of requirements.txt (`scripts/services.sh docker` makes an environment with them). What else is there is
used: `docker compose config` or, with Go, the library that it stands on; `promtool` for Prometheus. What could not be checked
is said, and is an error if CI is set, where everything has to be there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
PROFILES = ["", "three", "embedded,demo", "cluster,demo", "three,cluster,embedded,demo"]
# That of any scrape. With a process for each pipeline, Arroyo's admin port has no metrics of workers.
METRICS = {"up"}

# What our own code exports stands there in quotes; a histogram has three names more.
for source in ("crates/service/src/metrics.rs", "crates/hitters/src/beside.rs", "crates/hitters/src/cluster/measures.rs"):
    names = re.findall(r'"((?:hitters|process)_\w+)"', (ROOT / source).read_text())
    METRICS |= {name + suffix for name in names for suffix in ("", "_bucket", "_sum", "_count")}

faults: list[str] = []
checks = 0


def holds(condition, fault: str) -> None:
    global checks
    checks += 1
    if not condition:
        faults.append(fault)


def skipped(what: str) -> None:
    print(f"docker: SKIPPED: {what}", file=sys.stderr)
    holds(not os.environ.get("CI"), f"CI has to check this too: {what}")


def called(command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def environment(folder: Path, *arguments: str) -> dict[str, str]:
    """What init.sh writes into .env, in a copy of docker/ at `folder`; it is held to its promises on the way."""
    shutil.copytree(DOCKER, folder, ignore=shutil.ignore_patterns(".env", "secrets"), dirs_exist_ok=True)
    first = called([folder / "init.sh", *arguments])
    holds(first.returncode == 0, f"init.sh fails: {first.stderr}")
    made = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    holds(len(set(made.values())) == len(made) > 0, "init.sh makes two equal secrets")
    for name, value in made.items():
        holds(re.fullmatch("[0-9a-f]{64}", value), f"secrets/{name} has not 256 bits in hexadecimal: {len(value)} characters")
        holds(value not in first.stdout + first.stderr, f"init.sh prints secrets/{name}")
    text = (folder / ".env").read_text()
    again = called([folder / "init.sh", *arguments])
    kept = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    holds(again.returncode == 0 and kept == made and (folder / ".env").read_text() == text, "init.sh changes what is there")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def filled(text: str, variables: dict[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-default}`, `${NAME:?message}`; `$$` stays."""

    def value(match: re.Match) -> str:
        name, kind, rest = match["name"], match["kind"], match["rest"]
        if variables.get(name):
            return variables[name]
        holds(kind != ":?", f"compose.yaml: {name} is needed, and init.sh does not make it")
        holds(kind, f"compose.yaml: {name} has neither a default nor a message for who lacks it")
        return rest if kind == ":-" else ""

    return re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\}", value, text)


def compose_config(folder: Path, variables: dict[str, str]) -> None:
    """The file as Compose itself reads it, under every profile."""
    file = folder / "compose.yaml"
    plugin = shutil.which("docker") and called(["docker", "compose", "version"]).returncode == 0
    if not plugin and not shutil.which("go"):
        skipped("neither `docker compose` nor Go is here to read compose.yaml")
        return
    flat = folder / "filled.yaml"
    flat.write_text(filled(file.read_text(), variables))
    for profiles in PROFILES:
        env = os.environ | {"COMPOSE_PROFILES": profiles}
        if plugin:
            result = called(["docker", "compose", "--file", file, "config", "--quiet"], env=env)
        else:
            result = called(["go", "run", COMPOSE_GO, "-no-interpolation", flat], env=env, cwd=folder)
        holds(result.returncode == 0, f"compose.yaml with the profiles [{profiles}]: {result.stderr}")


def services(compose: dict) -> None:
    """What every service has, and that everything it names is there."""
    secrets, volumes = compose["secrets"], compose["volumes"]
    ports: dict[str, str] = {}
    used = set()
    for name, service in compose["services"].items():
        at = f"compose.yaml: {name}"
        stays = service.get("restart", "no") == "unless-stopped"
        holds(re.search(r":[^:/]+$", service["image"]), f"{at}: the image {service['image']} has no tag")
        holds(not service["image"].endswith(":latest"), f"{at}: latest is no version")
        holds("mem_limit" in service, f"{at}: there is no memory limit")
        holds("logging" in service, f"{at}: its log can fill the disk")
        holds("no-new-privileges:true" in service.get("security_opt", []), f"{at}: it may gain privileges")
        if stays and not service["image"].startswith("hitters:"):
            holds("healthcheck" in service, f"{at}: there is no health check")
        for dependency, how in service.get("depends_on", {}).items():
            other = compose["services"].get(dependency)
            holds(other is not None, f"{at}: depends on {dependency}, which is not there")
            healthy = how["condition"] == "service_healthy"
            holds(not healthy or (other and "healthcheck" in other), f"{at}: {dependency} has no health check to wait for")
            optional = other and set(other.get("profiles", [])) - set(service.get("profiles", []))
            holds(not optional or how.get("required") is False, f"{at}: needs {dependency}, which its profile may leave out")
        for secret in service.get("secrets", []):
            used.add(secret)
            holds(secret in secrets, f"{at}: there is no secret {secret}")
        for text in re.findall(r"/run/secrets/(\w+)", json.dumps(service)):
            holds(text in service.get("secrets", []), f"{at}: reads the secret {text}, which it is not given")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            used.add(source)
            if source.startswith("."):
                holds((DOCKER / source).exists(), f"{at}: mounts {source}, which is not there")
            else:
                holds(source in volumes, f"{at}: the volume {source} is not declared")
        for port in service.get("ports", []):
            holds(port.startswith("127.0.0.1:"), f"{at}: {port} is open to other machines")
            outer = port.split(":")[1]
            holds(outer not in ports, f"{at}: {ports.get(outer)} has port {outer} too")
            ports[outer] = name
    holds(set(volumes) | set(secrets) <= used, f"compose.yaml: nobody uses {(set(volumes) | set(secrets)) - used}")
    readme = (DOCKER / "README.md").read_text()
    for port, name in ports.items():
        holds(port in readme, f"docker/README.md does not tell of port {port} of {name}")
    for name in secrets:
        holds(f"secrets/{name}" in readme, f"docker/README.md does not tell of secrets/{name}")
    for port in re.findall(r"localhost:(\d+)", readme):
        holds(port in ports, f"docker/README.md tells of port {port}, which is not published")


def scheduler(compose: dict) -> None:
    """Replays need a scheduler that runs several pipelines; of what its workers measure, the query service tells."""
    arroyo, serve = compose["services"]["arroyo"], compose["services"]["serve"]
    kind = arroyo["environment"]["ARROYO__CONTROLLER__SCHEDULER"]
    holds(kind == "process", f"compose.yaml: arroyo: with the scheduler {kind}, a replay ends the pipeline beside it")
    asked = "--to=http://arroyo:5115" in serve["command"] and "arroyo_api_key" in serve["secrets"]
    holds(asked, "compose.yaml: serve: it does not ask Arroyo, and the dashboard of Arroyo stays empty")


def hosts(text: str, compose: dict, where: str) -> None:
    """`name:port` of services: the name is a service."""
    for host in re.findall(r"\b(kafka-\d|redis|arroyo|cassandra|prometheus|grafana|serve)(?=:\d)", text):
        holds(host in compose["services"], f"{where}: there is no service {host}")


def commands(compose: dict, hitters: str | None) -> None:
    """The subcommands and options that the compose file and the README use are those of the command."""
    used = []
    for name, service in compose["services"].items():
        if "entrypoint" in service:
            scripts = re.findall(r"\bhitters ([a-z][^>;|]*)", json.dumps(service["entrypoint"]).replace("\\n", " ; "))
            used.extend((f"compose.yaml: {name}", script.split()) for script in scripts)
        elif service["image"].startswith("hitters:"):
            used.append((f"compose.yaml: {name}", [str(word) for word in service["command"]]))
    for path in sorted(DOCKER.glob("*.md")):
        for line in re.findall(r"^\s*(?:docker compose exec \w+ entrypoint|hitters) ([a-z].*)$", path.read_text(), re.M):
            used.append((path.name, line.split("#")[0].split()))
    holds(used, "nothing calls hitters")
    for where, words in used:
        for word in words:
            if word.startswith("docker/pipelines/"):
                holds((ROOT / word).exists(), f"{where}: there is no {word}")
    if hitters is None:
        skipped("no path of hitters was given, so its subcommands and options")
        return
    for where, words in used:
        parts = [words[0]]
        help = called([hitters, *parts, "--help"])
        if len(words) > 1 and re.search(rf"^  {re.escape(words[1])}\s", help.stdout, re.M) and "Commands:" in help.stdout:
            help = called([hitters, words[0], words[1], "--help"])
        holds(help.returncode == 0, f"{where}: hitters has no command {words[0]}")
        for word in words[1:]:
            if word.startswith("--") and help.returncode == 0:
                option = word.split("=")[0]
                holds(re.search(rf"{option}\b", help.stdout), f"{where}: hitters {words[0]} has no option {option}")
    env = {**os.environ, "REDIS_PASSWORD": "0" * 64}
    for pipeline in sorted((DOCKER / "pipelines").glob("*.toml")):
        result = called([hitters, "check", str(pipeline)], env=env)
        holds(result.returncode == 0, f"{pipeline.name}: {result.stderr}")


def dockerfile() -> None:
    """Every file that it copies goes to the builder; it ends as a user without privileges; a linter has no objection."""
    text = (DOCKER / "Dockerfile").read_text()
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", text, re.M):
        for source in sources.split():
            holds((ROOT / source).exists(), f"Dockerfile: copies {source}, which is not there")
            given = source == "." or any(source == path or source.startswith(f"{path}/") for path in allowed)
            holds(given, f"Dockerfile: .dockerignore keeps {source} from the builder")
    for path in allowed:
        holds((ROOT / path).exists(), f".dockerignore: there is no {path}")
    members = re.search(r"members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), re.S)[1]
    for member in re.findall(r'"([^"/]+)[^"]*"', members):
        holds(member in allowed, f".dockerignore: cargo needs {member}")
    holds(re.findall(r"^USER (.+)$", text, re.M)[-1:] not in ([], ["root"], ["0"]), "Dockerfile: runs as root")
    for image in re.findall(r"^FROM (\S+)", text, re.M):
        holds(re.search(r":\d", image), f"Dockerfile: {image} has no version")
    built = re.search(r"^FROM rust:([\d.]+)", text, re.M)[1]
    wanted = re.search(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())[1]
    holds(built == wanted or built.startswith(f"{wanted}."), f"Dockerfile: Rust {built}, but Cargo.toml asks for {wanted}")
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        skipped("hadolint is not here")
    else:
        result = called([linter, DOCKER / "Dockerfile"])
        holds(result.returncode == 0, f"hadolint: {result.stdout}{result.stderr}")
    for script in (DOCKER / "init.sh", DOCKER / "entrypoint.sh"):
        holds(os.access(script, os.X_OK), f"{script.name} cannot be executed")
        holds(called(["sh", "-n", script]).returncode == 0, f"{script.name} is no shell script")


def measures(compose: dict) -> None:
    """Prometheus scrapes services that are there; dashboards and alerts ask for metrics that exist."""
    folder = DOCKER / "prometheus"
    promtool = shutil.which("promtool")
    if promtool is None:
        skipped("promtool is not here")
    else:
        # The key of the service is a file that only the container has.
        for command in (["config", "--syntax-only", folder / "prometheus.yml"], ["rules", folder / "alerts.yml"]):
            result = called([promtool, "check", *command])
            holds(result.returncode == 0, f"promtool: {result.stdout}{result.stderr}")
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    jobs = set()
    for job in config["scrape_configs"]:
        jobs.add(job["job_name"])
        for target in (target for static in job["static_configs"] for target in static["targets"]):
            host = target.split(":")[0]
            holds(host == "localhost" or host in compose["services"], f"prometheus.yml: there is no service {host}")
    asked = []
    for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            asked.append((f"alerts.yml: {rule['alert']}", rule["expr"]))
            holds({"summary", "description"} <= set(rule["annotations"]), f"alerts.yml: {rule['alert']} does not say what to do")
    sources = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    uids = {source["uid"] for source in sources}
    for source in sources:
        hosts(source["url"], compose, "datasources")
    seen = set()
    for path in sorted((DOCKER / "grafana/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        holds(dashboard.get("uid") and dashboard["uid"] not in seen, f"{path.name}: has no uid of its own")
        seen.add(dashboard.get("uid"))
        panels = dashboard["panels"]
        holds(len({panel["id"] for panel in panels}) == len(panels), f"{path.name}: two panels have one id")
        for panel in panels:
            at = f"{path.name}: {panel['title']}"
            place = panel["gridPos"]
            holds(place["x"] + place["w"] <= 24, f"{at}: reaches over the edge")
            holds(panel["type"] == "row" or panel.get("description"), f"{at}: does not say what it shows")
            for target in panel.get("targets", []):
                holds(target["datasource"]["uid"] in uids, f"{at}: there is no such data source")
                asked.append((at, target["expr"]))
    for at, query in asked:
        for metric in re.findall(r"\b(arroyo_\w+|hitters_\w+|process_\w+|up)\b", query):
            holds(metric in METRICS, f"{at}: nobody exports {metric}")
        for job in re.findall(r'job="(\w+)"', query):
            holds(job in jobs, f"{at}: no job is called {job}")
    home = re.search(r"HOME_DASHBOARD_PATH: \S+/(\S+)", (DOCKER / "compose.yaml").read_text())
    holds(home is None or (DOCKER / "grafana/dashboards" / home[1]).exists(), "the dashboard that Grafana opens is not there")


def main() -> int:
    hitters = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        variables = environment(Path(folder) / "one")
        compose_config(Path(folder) / "one", variables)
        three = environment(Path(folder) / "three", "--brokers", "3")
        holds(three["KAFKA_VOTERS"].count("@") == 3 and three["KAFKA_REPLICATION"] == "3", "init.sh --brokers 3 makes no three")
    refused = called([DOCKER / "init.sh", "--brokers", "2"])
    holds(refused.returncode == 2, "init.sh makes two brokers")
    for values in (variables, three):
        text = filled((DOCKER / "compose.yaml").read_text(), values)
        compose = yaml.safe_load(text)
        services(compose)
        scheduler(compose)
        hosts(text, compose, "compose.yaml")
    for path in (DOCKER / "pipelines").glob("*.toml"):
        hosts(path.read_text(), compose, path.name)
    commands(compose, hitters)
    dockerfile()
    measures(compose)
    for fault in faults:
        print(f"docker: {fault}", file=sys.stderr)
    print(f"docker: {checks} checks, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
