"""What the pages of the documentation name, and whether it is there. scripts/check_docs.py asks it."""

import json
import os
import re
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("REALSENSE_WEBRTC_BIN") or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug/realsense-webrtc")
# Without decisions and performance, which grow with the project.
MOST_WORDS, UNCOUNTED = 25_000, {"docs/decisions.md", "docs/performance.md"}


def pages():
    """All pages of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def prose_of(text):
    """The page without its blocks and comments."""
    text = re.sub(r"(?ms)^\s*```.*?^\s*```\s*$", "", text)
    return re.sub(r"(?s)<!--.*?-->", "", text)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    found = {}
    for heading in re.findall(r"(?m)^#{1,6} (.*)$", prose_of(text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def check_links(page, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^\s*```.*?^\s*```\s*$", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield f"the link {target} has an anchor that is not there"


def check_files(text):
    folders = "docs|scripts|src|www|pipelines|tests|examples|packaging"
    for name in set(re.findall(rf"`((?:\./)?(?:{folders})/[\w./\-]+)`", text)):
        if not (ROOT / name).exists():
            yield f"there is no file {name}"


def check_keys(text, keys):
    sections = {key.split(".")[0] for key in keys}
    for name in set(re.findall(r"`((?:%s)\.[a-z_.]+)`" % "|".join(sorted(sections)), text)):
        if name.endswith((".log", ".toml", ".gst", ".sh", ".rs", ".md", ".mjs", ".js", ".html")):
            continue
        if not any(key == name or key.startswith(name + ".") or (key.count(".") > 1 and key.replace(key.split(".")[1], "*") == name) for key in keys):
            yield f"there is no configuration key {name}"
    for name in set(re.findall(r"REALSENSE_WEBRTC__([A-Z][A-Z_]*[A-Z])", text)):
        key = name.lower().replace("__", ".")
        if not any(one == key or one.startswith(key + ".") for one in keys) and key != "section.key":
            yield f"there is no configuration key {key} for REALSENSE_WEBRTC__{name}"


def check_environment(text, known):
    for name in set(re.findall(r"\bREALSENSE_WEBRTC_(?!_)[A-Z_]+\b", text)):
        if name not in known:
            yield f"nothing reads the environment variable {name}"


def check_metrics(text, known):
    for name in set(re.findall(r"\brealsense_webrtc_[a-z_]+\b", text)):
        if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known:
            yield f"there is no metric {name}"


def check_routes(text, routes):
    patterns = [re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route)) + "$") for route in routes]
    for route in set(re.findall(r"(?<![\w.])(?:http://127\.0\.0\.1:8000)?(/api/[\w{}/.\-$*…]*)", text)):
        bare = re.sub(r"^/api/v1(/|$)", r"/api\1", route).rstrip("/.") or route
        if "…" in bare or "*" in bare or bare in ("/api", "/api/v1", "/api/"):
            continue
        if not any(pattern.match(bare) for pattern in patterns):
            yield f"there is no route {route}"


def check_version(text, version):
    for found in set(re.findall(r'(?:"version": ?"|[Vv]ersion |realsense-webrtc )(0\.\d+\.\d+)\b', text)):
        if found != version:
            yield f"this is version {version}, not {found}"


def check_names():
    """What the pages name and is not there."""
    version = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text())[1]
    # A test holds this file equal to what the program reads.
    keys = configuration_keys((ROOT / "realsense-webrtc.toml").read_text())
    metrics = set(re.findall(r"\brealsense_webrtc_[a-z_]+\b", (ROOT / "docs/reference/metrics.md").read_text()))
    source = "".join(file.read_text(errors="replace") for folder in ("src", "scripts", "tests") for file in (ROOT / folder).rglob("*")
                     if file.suffix in (".rs", ".sh", ".py", ".mjs") and "node_modules" not in file.parts and not file.name.startswith(("check_docs", "docs_names")))
    source += (ROOT / "compose.yaml").read_text() + (ROOT / "Dockerfile").read_text()
    variables = set(re.findall(r"\bREALSENSE_WEBRTC_(?!_)[A-Z_]+\b", source))
    routes = [*json.loads(openapi())["paths"], "/api/openapi.json"]
    faults, words = [], 0
    index = (ROOT / "docs/README.md").read_text()
    for page in pages():
        name, text = str(page.relative_to(ROOT)), page.read_text()
        found = [*check_links(page, text), *check_files(text), *check_keys(text, keys), *check_environment(text, variables)]
        if name not in UNCOUNTED:
            found += [*check_metrics(text, metrics), *check_routes(text, routes), *check_version(text, version)]
            words += 0 if name == "CONTRIBUTING.md" else len(text.split())
        faults += [f"{name}: {fault}" for fault in found]
        inside = str(page.relative_to(ROOT / "docs")) if name.startswith("docs/") else None
        if inside and inside != "README.md" and f"]({inside}" not in index:
            faults.append(f"{name}: docs/README.md does not link to it")
    if words > MOST_WORDS:
        faults.append(f"README.md and docs have {words} words without {' and '.join(sorted(UNCOUNTED))}; {MOST_WORDS} are allowed")
    return faults, words


def configuration_keys(text):
    """The keys of a configuration, with their sections."""
    keys, section = set(), ""
    for line in text.split("\n"):
        if found := re.match(r"^\[([\w.\"-]+)\]", line):
            section = found[1]
            keys.add(section)
        elif found := re.match(r"^#? ?([a-z_0-9]+(?:\.[a-z_0-9]+)*) *=", line):
            keys.add(f"{section}.{found[1]}" if section else found[1])
    return keys


def openapi():
    """The OpenAPI document, from a server that runs for a moment."""
    port = free_port()
    server = subprocess.Popen([PROGRAM, "--listen", f"127.0.0.1:{port}", "--sim-cameras", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
    try:
        for line in server.stdout:
            if "listening on http" in line:
                break
        threading.Thread(target=server.stdout.read, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/openapi.json", timeout=20) as answer:
            return answer.read()
    finally:
        server.terminate()
        server.wait(20)
