"""What the pages of the documentation name, and whether it is there. scripts/check_docs.py asks it."""

import difflib
import json
import os
import re
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("REALSENSE_WEBRTC_BIN") or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug/realsense-webrtc").resolve()
# Without decisions and performance, which grow with the project.
MOST_WORDS, UNCOUNTED = 27_000, {"docs/decisions.md", "docs/performance.md"}


def pages():
    """All pages of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def free_port():
    """A port that nobody has for TCP, nor for UDP."""
    while True:
        with socket.socket() as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            one.bind(("127.0.0.1", 0))
            try:
                other.bind(one.getsockname())
            except OSError:
                continue
            return one.getsockname()[1]


FENCED = re.compile(r"(?ms)^\s*```.*?^\s*```\s*$")


def prose_of(text):
    """The page without its blocks and comments."""
    return re.sub(r"(?s)<!--.*?-->", "", FENCED.sub("", text))


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
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text)):
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
    """Keys such as `sessions.limit`, also with `*` for one part, with a value, and as environment variables."""
    sections = {key.split(".")[0] for key in keys}
    # What else has a dot between such words.
    others = r"\.(log|toml|gst|sh|rs|md|mjs|js|html|json|py|txt|h264|vp8|vp9|partial|bag)\b|\(|^stats\.|^(source|encoder|fanout)\."
    for name in set(re.findall(r"`([a-z_]+(?:\.[a-z_*]+)+)(?: = [^`]*)?`", text)):
        if re.search(others, name):
            continue
        pattern = re.compile(re.escape(name).replace(r"\*", "[a-z_]+") + r"(\..*)?")
        if name.split(".")[0] in sections and not any(pattern.fullmatch(key) for key in keys):
            yield f"there is no configuration key {name}"
        elif name.split(".")[0] not in sections and nearest(name.split(".")[0], sections):
            yield f"there is no section of the configuration for {name}"
    for name in set(re.findall(r"REALSENSE_WEBRTC__([A-Z][A-Z_]*[A-Z])", text)):
        key = name.lower().replace("__", ".")
        if not any(one == key or one.startswith(key + ".") for one in keys) and key != "section.key":
            yield f"there is no configuration key {key} for REALSENSE_WEBRTC__{name}"


def nearest(word, known):
    """Whether a word is a known one with an error or two in it."""
    return difflib.get_close_matches(word, known, n=1, cutoff=0.75)


def check_environment(text, known):
    for name in set(re.findall(r"\bREALSENSE_WEBRTC_(?!_)[A-Z_]+\b", text)):
        if name not in known:
            yield f"nothing reads the environment variable {name}"


def check_metrics(text, known):
    for name in set(re.findall(r"\brealsense_webrtc_[a-z_]+\b", text)):
        if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known:
            yield f"there is no metric {name}"


METHODS = "GET|POST|PUT|PATCH|DELETE"


def check_routes(text, routes, prefix=""):
    """Routes, with their method where one stands in front; `prefix` is what the page leaves out. `routes` are pairs."""
    known = [(method, re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route)))) for method, route in routes]
    written = {(method, route) for method, route in re.findall(rf"(?:\b({METHODS}) `?)?(?<![\w.])(?:http://[\w.\-]+:\d+)?(/api/[\w{{}}/.\-$*…]*)", text)}
    if prefix:
        written |= {(method, prefix + route) for method, route in re.findall(rf"`({METHODS}) (/(?!api\b)[\w{{}}/.\-$]+)", text)}
    for method, route in sorted(written):
        bare = re.sub(r"^/api/v1(/|$)", r"/api\1", route).rstrip("/.")
        if "…" in bare or "*" in bare or bare in ("/api", ""):
            continue
        if not any((not method or method == one) and pattern.fullmatch(bare) for one, pattern in known):
            yield f"there is no route {method} {route}".replace("  ", " ")


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
    routes = openapi_routes() | {("GET", "/api/openapi.json")}
    faults, words = [], 0
    index = (ROOT / "docs/README.md").read_text()
    for page in pages():
        name, text = str(page.relative_to(ROOT)), page.read_text()
        found = [*check_links(page, text), *check_files(text), *check_keys(text, keys), *check_environment(text, variables)]
        if name not in UNCOUNTED:
            found += [*check_metrics(text, metrics), *check_routes(text, routes, "/api" if name == "docs/reference/api.md" else ""), *check_version(text, version)]
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


def openapi_routes():
    """Method and route of every operation of the OpenAPI document."""
    printed = subprocess.run([PROGRAM, "openapi"], capture_output=True, timeout=60, check=True).stdout
    paths = json.loads(printed)["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "parameters"}
