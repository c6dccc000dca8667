#!/usr/bin/env python3
"""Runs the examples of the documentation against the program, and checks what the documentation names.

    scripts/check_docs.py                 every page
    scripts/check_docs.py PAGE ...        these pages
    scripts/check_docs.py --static        only what needs no running program
    scripts/check_docs.py --not-run       lists the examples that are not run, and why

Examples: each page of README.md, docs/guide and docs/reference is run from top to bottom in a bash session of its own, in a copy of the
repository. A block of `sh` must succeed. In a block of `console` the lines behind a command are its output, which is compared: `…` in a
line stands for anything, a line of `…` for any number of lines. The ports 8000, 5004 and 5006 stand for free ones. A comment in front of a block directs
it (several on one line are separated by "; "):

    <!-- docs-test: server -->          the last command of the block is a server: it runs on until the page ends or another one starts
    <!-- docs-test: background -->      the block runs on, and nothing is waited for
    <!-- docs-test: printed -->         a block of text: what the last command or the server has printed, or a part of it
    <!-- docs-test: numbers vary -->    any number stands for any number, and spaces for any spaces
    <!-- docs-test: exit 1 -->          the last command of the block ends with this status
    <!-- docs-test: file NAME -->       the block is written to this file; `append NAME` writes it to its end
    <!-- docs-test: skip REASON -->     not run

For what the reader does by hand, or does not see, in this order and before the block:

    <!-- docs-test: alone -->           ends all viewers, and waits until the server has no session
    <!-- docs-test: serve COMMAND -->   starts a server
    <!-- docs-test: setup COMMAND -->   runs a command
    <!-- docs-test: viewers color color,depth -->   two viewers of these streams, until all are connected; `--token T` and `--device D` are for all
    <!-- docs-test: until COMMAND -->   waits until this command succeeds

A block of `toml` is checked as a configuration.

Names: links and anchors, files, configuration keys, environment variables, metrics, routes, versions, and the number of words.
REALSENSE_WEBRTC_BIN is the program (target/debug/realsense-webrtc unless said). Exit status 1: something differs.
"""

import argparse
import concurrent.futures
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from docs_names import MOST_WORDS, PROGRAM, ROOT, check_names, free_port, pages

# What a page may use of the repository.
COPIED = ["README.md", "Cargo.toml", "Cargo.lock", "compose.yaml", "Dockerfile", "realsense-webrtc.toml", "docs", "examples", "packaging", "pipelines",
          "scripts", "src", "www", "tests/data"]
COMMAND_LIMIT_S = 120
PRINTS_WITHIN_S = 15
START_LIMIT_S = 60
PREPARES = {"alone", "serve", "setup", "viewers", "until"}
KNOWN = PREPARES | {"server", "background", "printed", "numbers", "exit", "file", "append", "skip"}
CONNECTED = '"connected":true'
# Never by a proxy.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MARK = re.compile(r"<!-- docs-test: (.*?) -->")


@dataclass
class Block:
    """A fenced block: the line of its fence, its language, its text, and what the comment in front of it says."""

    line: int
    language: str
    text: str
    directions: dict = field(default_factory=dict)


def blocks_of(text):
    """All fenced blocks of a page, also indented ones, with their directions."""
    blocks, lines, at = [], text.split("\n"), 0
    directions = {}
    while at < len(lines):
        opened = re.match(r"^(\s*)```(\w*)\s*$", lines[at])
        if opened:
            indent, start = len(opened[1]), at
            at += 1
            body = []
            while at < len(lines) and lines[at].strip() != "```":
                body.append(lines[at][indent:] if lines[at][:indent].strip() == "" else lines[at])
                at += 1
            blocks.append(Block(start + 1, opened[2], "\n".join(body), directions))
            directions = {}
        elif found := MARK.search(lines[at]):
            one = found[1]
            while one:
                word, _, rest = one.partition(" ")
                # A command may have semicolons of its own.
                if word in ("setup", "serve", "until"):
                    said, one = rest, ""
                elif word.endswith(";"):
                    word, said, one = word[:-1], "", rest
                else:
                    said, _, one = rest.partition("; ")
                if word not in KNOWN or word in directions:
                    raise ValueError(f"line {at + 1}: '{word}' is not known to the docs test, or is said twice")
                directions[word] = said
        elif lines[at].strip():
            directions = {}
        at += 1
    return blocks


def commands_of(block):
    """The commands of a console block with the output that each is to have."""
    commands = []
    for line in block.text.split("\n"):
        if line.startswith("$ "):
            commands.append([line[2:], []])
        elif commands and commands[-1][0].endswith("\\") and not commands[-1][1]:
            commands[-1][0] += "\n" + line
        elif commands:
            commands[-1][1].append(line)
    return commands


def expected(lines, numbers_vary):
    """A pattern for the output that a page shows."""
    parts = []
    for line in lines:
        if line.strip() == "…":
            parts.append("(?:[^\n]*\n)*?")
            continue
        pattern = re.escape(line.rstrip()).replace("…", "[^\n]*")
        if numbers_vary:
            # A number that is no part of a name: not H264, infrared-1, color.h264.
            pattern = re.sub(r"(?<![A-Za-z\d])(?<![A-Za-z]\\-)(?<![A-Za-z\d]\\\.)\d+(?:\\\.\d+)*", r"\\d+(?:\\.\\d+)*", pattern)
            pattern = re.sub(r"(?:\\ )+", r"[ ]+", pattern)
        parts.append(pattern + "[ ]*\n")
    return "".join(parts)


class Failed(Exception):
    """An example that does not do what its page says."""


class Hangs(Failed):
    """A command that did not end: nothing behind it can be run."""


class Session:
    """A page's bash: commands share its folder and variables."""

    def __init__(self, work):
        self.work = work
        # Port 8000 is the server's; the others are where pages let pipelines send to.
        self.ports = {8000: free_port(), 5004: free_port(), 5006: free_port()}
        self.port = self.ports[8000]
        self.folder = work / "realsense-webrtc"
        self.outputs = 0
        self.printed = work / "nothing"
        self.printed.write_text("")
        self.running, self.viewers, self.token = [], [], ""
        stand_in(self.folder, work / "bin", self.port)
        environment = {name: value for name, value in os.environ.items()
                       if name == "REALSENSE_WEBRTC_TEST_SDK" or not name.startswith(("REALSENSE_WEBRTC", "CARGO_TARGET_DIR"))}
        environment["XDG_CACHE_HOME"] = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        home = work / "home"
        home.mkdir()
        environment |= {"HOME": str(home), "PATH": f"{work / 'bin'}:{environment['PATH']}", "NO_COLOR": "1", "TERM": "dumb",
                        "no_proxy": "127.0.0.1,localhost"}
        for variable in ("CARGO_HOME", "RUSTUP_HOME"):
            environment.setdefault(variable, str(Path.home() / f".{variable.split('_')[0].lower()}"))
        self.bash = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=self.folder, env=environment, stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        self.say("set -m")
        # Where a page shows no output, a refusal of the server is a failure.
        self.say('curl() { command curl ${strict:+--fail-with-body} "$@"; }')

    def say(self, line):
        try:
            self.bash.stdin.write(line + "\n")
            self.bash.stdin.flush()
        except BrokenPipeError:
            raise Hangs("the page's shell has ended") from None

    def with_port(self, text):
        return re.sub(r"\b(8000|5004|5006)\b", lambda found: str(self.ports[int(found[1])]), text)

    def write(self, command):
        self.outputs += 1
        script, output = self.work / f"{self.outputs}.sh", self.work / f"{self.outputs}.out"
        script.write_text(self.with_port(command) + "\n")
        output.write_text("")
        return script, output

    def run(self, command, checked=False, strict=False):
        """Runs a command to its end: its exit status and what it printed. Strictly: also what a pipe begins with must succeed."""
        script, output = self.write(command)
        done = self.work / f"{self.outputs}.status"
        # Where every command must succeed, the first that fails ends the script. (`set -e` would end the session.)
        trap = "trap 'return $?' ERR; " if checked else ""
        before = "set -o pipefail; strict=1; " if strict else ""
        self.say(f"{before}{trap}. {script} >{output} 2>&1 </dev/null; echo $? >{done}.new; trap - ERR; set +o pipefail; strict=")
        self.say(f"mv {done}.new {done}")
        ended = within(COMMAND_LIMIT_S, lambda: done.exists() or self.bash.poll() is not None)
        if not (ended and done.exists()):
            raise Hangs(f"`{command}` ended the page's shell, or did not end within {COMMAND_LIMIT_S} s; it printed:\n{self.read(output)}")
        self.printed = output
        return int(done.read_text()), self.read(output)

    def start(self, command, is_server, among=None):
        """Starts what runs on, among these or else what ends with the page; a server until it listens."""
        if is_server:
            self.stop()
        script, output = self.write(command)
        pid = self.work / f"{self.outputs}.pid"
        # Disowned, or the session would tell of its end amid the next output.
        self.say(f"(. {script}) >{output} 2>&1 </dev/null & echo $! >{pid}.new; disown; mv {pid}.new {pid}")
        if not within(START_LIMIT_S, pid.exists):
            raise Failed(f"`{command}` was not started.")
        started = int(pid.read_text())
        (self.running if among is None else among).append(started)
        self.printed = output

        def listens():
            return "listening on http" in self.read(output)

        if is_server and not (within(START_LIMIT_S, lambda: listens() or not alive(started)) and listens()):
            raise Failed(f"`{command}` does not listen; it printed:\n{self.read(output)}")

    def read(self, output):
        text = re.sub(r"\x1b\[[0-9;]*m", "", output.read_text(errors="replace"))
        for shown, used in self.ports.items():
            text = re.sub(rf"\b{used}\b", str(shown), text)
        return text if not text or text.endswith("\n") else text + "\n"

    def add_viewers(self, words):
        """A viewer for each word that is no flag; waits until they are connected."""
        before = self.sessions(CONNECTED) or 0
        flags = [word for pair in zip(words, words[1:]) if pair[0] in ("--token", "--device") for word in pair]
        viewers = [word for word in words if word not in flags]
        self.token = flags[flags.index("--token") + 1] if "--token" in flags else self.token
        for streams in viewers:
            self.start(f"realsense-webrtc probe watch --secs 900 --streams {streams} {' '.join(flags)}", is_server=False, among=self.viewers)
        wait_until(lambda: (self.sessions(CONNECTED) or 0) >= before + len(viewers), "the viewers were not connected")

    def end_viewers(self):
        self.stop(self.viewers)
        self.viewers = []
        # They left without a word, which the server would notice by their silence only.
        self.ask("DELETE")
        wait_until(lambda: self.sessions("session_id") == 0, "the sessions did not end")

    def sessions(self, of):
        """How often the server's list of sessions has this text; `None` where it does not answer with one."""
        answer = self.ask("GET")
        return None if answer is None else answer.count(of)

    def ask(self, method):
        """The server's answer about all sessions; `None` where it gives none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/webrtc/sessions", method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with DIRECT.open(request, timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def stop(self, pids=None):
        """Ends what runs on, or these processes, with all that they started."""
        if pids is None:
            pids, self.running = self.running, []
        for pid in pids:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(pid, sign)
                except ProcessLookupError:
                    break
                if within(10, lambda: not group_runs(pid)):
                    break

    def end(self):
        """Ends the page's bash and all that it started, also by `&`."""
        self.stop()
        for one in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(one.name)) == self.bash.pid:
                    os.kill(int(one.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.bash.stdin.close()
        self.bash.wait()


def stat(pid):
    """State and process group of a process; `None` where there is none."""
    try:
        state, _, group, *_ = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return state, int(group)
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    """Whether a process runs: its parent, the page's bash, may not have looked at its end yet."""
    return (found := stat(pid)) is not None and found[0] != "Z"


def group_runs(group):
    """Whether anything of a process group runs."""
    found = [stat(one.name) for one in Path("/proc").glob("[0-9]*")]
    return any(one is not None and one[0] != "Z" and one[1] == group for one in found)


def stand_in(folder, bin_folder, port):
    """The program as a page calls it, with the page's port where it says none."""
    script = f"""#!/bin/sh
given=" $* "
here() {{ case "$given" in *" $1"[\\ =]*) return 1 ;; esac; }}
case "$1" in
  probe) if here --url; then shift; exec {PROGRAM} probe --url http://127.0.0.1:{port} "$@"; fi ;;
  healthcheck) if here --listen && here --config; then exec {PROGRAM} "$@" --listen 127.0.0.1:{port}; fi ;;
  "" | --*) case "$given" in
    *" --version "* | *" --help "* | *" config "* | *" pipeline "* | *" --config "*) ;;
    *) if here --listen && [ -z "$REALSENSE_WEBRTC__SERVER__LISTEN" ]; then exec {PROGRAM} --listen 127.0.0.1:{port} "$@"; fi ;;
  esac
  case "$given" in *" --config "*)
    file=$(printf %s "$given" | sed 's/.* --config \\([^ ]*\\) .*/\\1/')
    if here --listen && ! grep -q '^listen' "$file" 2>/dev/null; then exec {PROGRAM} --listen 127.0.0.1:{port} "$@"; fi ;;
  esac ;;
esac
exec {PROGRAM} "$@"
"""
    for place in (bin_folder, folder / "target/release"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "realsense-webrtc").write_text(script)
        (place / "realsense-webrtc").chmod(0o755)


def prepare(session, directions):
    """What comes before a block."""
    if "alone" in directions:
        session.end_viewers()
    if "serve" in directions:
        session.start(directions["serve"], is_server=True)
    if "setup" in directions:
        status, output = session.run(directions["setup"])
        if status != 0:
            raise Failed(f"the setup ended with {status}:\n{output}")
    if "viewers" in directions:
        session.add_viewers(directions["viewers"].split())
    if "until" in directions:
        wait_until(lambda: session.run(directions["until"])[0] == 0, f"`{directions['until']}` did not succeed")


def wait_until(happened, what):
    """Waits for what is sure to happen."""
    if not within(START_LIMIT_S, happened):
        raise Failed(f"{what} within {START_LIMIT_S} s.")


def within(limit_s, happened):
    """Waits until something has happened; false where it has not after so many seconds."""
    ends = time.monotonic() + limit_s
    while not happened():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def run_block(session, block):
    """Runs one block; raises what differs."""
    directions = block.directions
    prepare(session, directions)
    if "skip" in directions:
        return
    vary = "numbers" in directions
    status_wanted = int(directions.get("exit", 0))
    name = directions.get("file") or directions.get("append")
    if name:
        # Where the page is by now, as a command of it would see it.
        script = session.work / "block"
        script.write_text(session.with_port(block.text) + "\n")
        status, output = session.run(f"cat {script} {'>' if 'file' in directions else '>>'} {shlex.quote(name)}")
        if status != 0:
            raise Failed(f"cannot write {name}: {output}")
    if block.language == "toml" and not (name and not name.endswith(".toml")):
        file = session.work / "checked.toml"
        file.write_text(session.with_port(block.text) + "\n")
        status, output = session.run(f"{PROGRAM} config check --config {file}")
        if status != 0:
            raise Failed(f"this is no configuration:\n{output}")
    elif "printed" in directions:
        compare(session, block.text.split("\n"), None, vary)
    elif block.language == "sh" and not name:
        if "server" in directions or "background" in directions:
            session.start(block.text, "server" in directions)
        else:
            status, output = session.run(block.text, checked=status_wanted == 0, strict=status_wanted == 0)
            if status != status_wanted:
                raise Failed(f"ended with {status} in place of {status_wanted}:\n{output}")
    elif block.language == "console" and not name:
        commands = commands_of(block)
        if not commands:
            raise Failed("a console block without a line that begins with `$ `")
        for index, (command, lines) in enumerate(commands):
            last = index == len(commands) - 1
            if last and ("server" in directions or "background" in directions):
                session.start(command, "server" in directions)
                compare(session, lines, None, vary)
                continue
            wanted = status_wanted if last else 0
            status, output = session.run(command, strict=not lines and wanted == 0)
            if any(lines) or wanted == 0:
                compare(session, lines, output, vary)
            if status != wanted:
                raise Failed(f"`{command}` ended with {status} in place of {wanted}:\n{output}")


def compare(session, lines, output, vary):
    """Holds output against what a page shows: all of it, or a part of what the last command has printed by now or prints soon."""
    pattern = expected(lines, vary)
    if output is not None:
        if not re.fullmatch(pattern, output):
            raise Failed("it printed\n" + indented(output) + "in place of\n" + indented("\n".join(lines) + "\n"))
        return
    if not within(PRINTS_WITHIN_S, lambda: re.search("(?m)^" + pattern, session.read(session.printed))):
        raise Failed("it printed\n" + indented(session.read(session.printed)) + "and not\n" + indented("\n".join(lines) + "\n"))


def indented(text):
    lines = text.split("\n")
    if len(lines) > 60:
        lines = lines[:30] + ["[…]"] + lines[-30:]
    return "".join(f"    {line}\n" for line in lines if line)


def shown(page):
    """A page's name in messages."""
    return page.relative_to(ROOT) if page.is_relative_to(ROOT) else page.name


def run_page(page, copy):
    """Runs a page: what differs, and how many blocks were run."""
    try:
        blocks = blocks_of(page.read_text())
    except ValueError as why:
        return [f"{shown(page)}: {why}"], 0
    if not any(runs(block) for block in blocks):
        return [], 0
    faults, count = [], 0
    with tempfile.TemporaryDirectory(prefix="docs-", ignore_cleanup_errors=True) as work:
        work = Path(work)
        shutil.copytree(copy, work / "realsense-webrtc", symlinks=True)
        session = Session(work)
        SESSIONS.append(session)
        try:
            for block in blocks:
                if runs(block) or PREPARES & block.directions.keys():
                    count += runs(block)
                    try:
                        run_block(session, block)
                    except Failed as why:
                        faults.append(f"{shown(page)}:{block.line}: {why}")
                        if isinstance(why, Hangs):
                            break
        finally:
            session.end()
            # Its number may be another's from now on.
            SESSIONS.remove(session)
    return faults, count


def runs(block):
    """Whether a block is run, or compared with what ran."""
    if "skip" in block.directions:
        return False
    return block.language in ("sh", "console", "toml") or any(name in block.directions for name in ("printed", "file", "append"))


def runnable(page):
    """README, guides and reference are run; decisions, background and what is for developers are read only."""
    name = str(page.relative_to(ROOT))
    return name == "README.md" or name.startswith(("docs/guide/", "docs/reference/")) and name != "docs/reference/architecture.md"


# Those of pages that run now, for an end by a signal.
SESSIONS = []


def end_all(*_):
    """Ends what the pages have started; nothing of it is to outlive the test."""
    for session in SESSIONS:
        session.end()
    os._exit(1)


def main():
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, end_all)
    parser = argparse.ArgumentParser(description="Checks the documentation against the program.")
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--static", action="store_true", help="only links, names and words")
    parser.add_argument("--not-run", action="store_true", help="list the examples that are not run")
    given = parser.parse_args()
    chosen = [page.resolve() for page in given.pages] or [page for page in pages() if runnable(page)]
    if given.not_run:
        for page in chosen:
            for block in blocks_of(page.read_text()):
                if "skip" in block.directions:
                    print(f"{page.relative_to(ROOT)}:{block.line}: {block.directions['skip']}")
        return 0
    if not PROGRAM.is_file():
        print(f"There is no program {PROGRAM}; build it with `cargo build` or set REALSENSE_WEBRTC_BIN.", file=sys.stderr)
        return 1
    faults, count, skipped = [], 0, {}
    if not given.pages:
        named, words = check_names()
        faults += named
        print(f"{words} words of at most {MOST_WORDS}.")
    if not given.static:
        with tempfile.TemporaryDirectory(prefix="docs-copy-") as copy:
            copy = Path(copy) / "copy"
            for name in COPIED:
                source, place = ROOT / name, copy / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "images"))
                else:
                    shutil.copy2(source, place)
            with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                for found, run in pool.map(lambda page: run_page(page, copy), chosen):
                    faults += found
                    count += run
        for page in chosen:
            for block in blocks_of(page.read_text()):
                if "skip" in block.directions:
                    skipped.setdefault(block.directions["skip"], []).append(f"{page.relative_to(ROOT)}:{block.line}")
        print(f"{count} examples of {len(chosen)} pages were run.")
        for reason, places in sorted(skipped.items()):
            print(f"Not run ({reason}): {', '.join(places)}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
