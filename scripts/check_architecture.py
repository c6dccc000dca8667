#!/usr/bin/env python3
"""Checks how the source files stand to one another. Fails with what it found.

    scripts/check_architecture.py            all of it
    scripts/check_architecture.py --list     prints every file with the first sentence of its first comment
    scripts/check_architecture.py --write    writes the list of files in docs/reference/architecture.md again
    scripts/check_architecture.py --edges    prints which file imports which

* In every folder below src/, its files and folders make a graph of imports: no folder of it is in a cycle, and no cycle has more than two files.
* Imports go down the list of folders of `src` in docs/reference/architecture.md, never up.
* Every file of src/ and of www/js/ is named exactly once in docs/reference/architecture.md, with its folder.
* Every one of them begins with a comment that has a sentence about what it is for.

Imports are those of the program: what is compiled for tests only does not count. A name that a `mod.rs` hands on with `pub use` counts
as an import of the file that it comes from.
"""

import re
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
PAGE = ROOT / "docs/reference/architecture.md"
# The folder that is a package of its own. The main one hands on what is in it, and its `error` and `model` at the top.
PURE, PURE_CRATE = "core", "realsense_webrtc_core"
# What follows this line in the page is written by this script.
MARK = "<!-- scripts/check_architecture.py --write -->"


def is_test(path):
    return path.name == "tests.rs" or path.name.endswith("_tests.rs") or "tests" in path.parts[len(SRC.parts):-1]


def without_comments_and_strings(text):
    """Blanks comments, strings and character literals, so that braces and words in them do not count."""
    token = re.compile(
        r"""//[^\n]*|/\*.*?\*/|r(?P<hashes>#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.DOTALL)
    return token.sub(lambda match: " " if match.group().startswith("/") else '""', text)


def without_tests(text):
    """Takes out what stands behind #[cfg(test)]: a block in braces, or up to the semicolon."""
    out, at = [], 0
    for match in re.finditer(r"#\[cfg\((?:test|all\(test)[^\]]*\]", text):
        if match.start() < at:
            continue
        out.append(text[at:match.start()])
        at = match.end()
        opens, ends = text.find("{", at), text.find(";", at)
        if ends != -1 and (opens == -1 or ends < opens) or re.match(r"\s*(?:pub(?:\([^)]*\))?\s+)?use\b", text[at:]):
            at = ends + 1
            continue
        depth = 0
        for at in range(opens, len(text)):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                break
        at += 1
    out.append(text[at:])
    return "".join(out)


def flattened(tree):
    """The paths of a `use` tree, as lists of names; an alias is the last name's affair."""
    tree = tree.strip()
    opens = tree.find("{")
    if opens == -1:
        return [[part.strip() for part in re.split(r"\s+as\s+", tree)[0].split("::")]]
    head = [part.strip() for part in tree[:opens].split("::") if part.strip()]
    inner, depth, start, paths = tree[opens + 1:tree.rfind("}")], 0, 0, []
    for at, char in enumerate(inner + ","):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            if inner[start:at].strip():
                paths += [head + path for path in flattened(inner[start:at])]
            start = at + 1
    return paths


class Crate:
    """The modules of src/, and who imports whom."""

    def __init__(self):
        self.files = {}
        for path in sorted(SRC.rglob("*.rs")):
            if not is_test(path):
                self.files[self.module(path)] = path
        self.code = {name: without_tests(without_comments_and_strings(path.read_text())) for name, path in self.files.items()}
        self.handed_on = defaultdict(dict)
        self.globs = defaultdict(list)
        for name in self.files:
            for path, public in self.uses(name):
                if public:
                    target = self.absolute(name, path)
                    if target and target[-1] == "*":
                        self.globs[name].append(target[:-1])
                    elif target:
                        self.handed_on[name][target[-1]] = target
        self.imports = {name: self.edges(name) for name in self.files}

    @staticmethod
    def module(path):
        parts = list(path.relative_to(SRC).with_suffix("").parts)
        if parts[-1] in ("mod", "lib"):
            parts.pop()
        return tuple(parts)

    def uses(self, name):
        for match in re.finditer(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);", self.code[name]):
            for path in flattened(match.group(2)):
                yield path, bool(match.group(1))

    def paths(self, name):
        """Every path that begins at the crate, here or above, in `use` or not; of what is handed on only what the file uses itself."""
        body = re.sub(r"\buse\s+[^;]+;", "", self.code[name])
        for path, public in self.uses(name):
            if not public or re.search(rf"\b{re.escape(path[-1])}\b", body):
                yield path
        for match in re.finditer(r"\b(?:crate|super|self)(?:::\w+)+", body):
            before = body[:match.start()].rstrip()
            if not (before.endswith("pub(in") or before.endswith("(in")):
                yield match.group().split("::")

    def absolute(self, name, path):
        """A path from src/; None when it leads out of it."""
        here = list(name)
        path = list(path)
        if path[0] == "crate" and here[:1] == [PURE]:
            return [PURE, *path[1:]]
        if path[0] == "crate":
            return [PURE, *path[1:]] if path[1:2] in (["error"], ["model"]) else path[1:]
        if path[0] == PURE_CRATE:
            return [PURE, *path[1:]]
        if path[0] == "self":
            return here + path[1:]
        if path[0] == "super":
            while path and path[0] == "super":
                if not here:
                    return None
                here.pop()
                path.pop(0)
            return here + path
        if tuple(here + path[:1]) in self.files:
            return here + path
        return None

    def owner(self, path, seen=()):
        """The file that a path's item stands in."""
        for length in range(len(path), -1, -1):
            name = tuple(path[:length])
            if name not in self.files:
                continue
            rest = path[length:]
            if rest and name not in seen:
                if rest[0] in self.handed_on[name]:
                    return self.owner(list(self.handed_on[name][rest[0]]) + list(rest[1:]), (*seen, name))
                for target in self.globs[name]:
                    if re.search(rf"\b(?:struct|enum|trait|fn|const|static|type|mod)\s+{re.escape(rest[0])}\b",
                                 self.code.get(tuple(target), "")):
                        return tuple(target)
            return name
        return None

    def edges(self, name):
        found = set()
        for path in self.paths(name):
            target = self.absolute(name, [part for part in path if part != "*"] or path)
            if target is None:
                continue
            owner = self.owner(target)
            if owner is not None and owner != name and owner in self.files:
                found.add(owner)
        return found


def cycles(graph):
    """The strongly connected parts with more than one member (Tarjan)."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = []
            while True:
                part.append(stack.pop())
                on.discard(part[-1])
                if part[-1] == node:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def check_imports(crate):
    """Sentences about cycles: in each folder's graph, whose members are its files and its folders as wholes."""
    where = {name: str(path.relative_to(SRC)) for name, path in crate.files.items()}
    parents = {name[:length] for name in crate.files for length in range(len(name))}
    wrong = []
    for parent in sorted(parents):

        def member(name):
            if name[:len(parent)] != parent:
                return None
            # The folder's own file: mod.rs, lib.rs, or the one that stands beside it.
            return name[len(parent)] if len(name) > len(parent) else "mod"

        folders = {member(name) for name in parents if len(name) > len(parent) and member(name)}
        graph, why = defaultdict(set), defaultdict(set)
        for name, targets in crate.imports.items():
            one = member(name)
            if one is None:
                continue
            for target in targets:
                other = member(target)
                if other not in (None, one):
                    graph[one].add(other)
                    why[one, other].add(f"  {where[name]} -> {where[target]}")
        for part in cycles(defaultdict(set, graph)):
            if len(part) > 2 or folders.intersection(part):
                lines = [line for pair in sorted(why) if set(pair) <= set(part) for line in sorted(why[pair])]
                wrong.append(f"src/{'/'.join(parent)}: {', '.join(part)} import one another:\n" + "\n".join(lines))
    return wrong


def rooms():
    """The folders of the page's list, from top to bottom; those of one row stand at one height."""
    section = PAGE.read_text().partition("## Folders of `src`")[2].partition("\n## ")[0]
    rows = [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    return {tuple(room.split("/")): height for height, row in enumerate(rows) for room in row}


def check_order(crate):
    """Sentences about imports of a room above. Who stands in no room of the list is not looked at."""
    heights, wrong = rooms(), []
    if not heights:
        return [f"{PAGE.relative_to(ROOT)} lacks the table of folders"]
    missing = [room for room in heights if not any(name[:len(room)] == room for name in crate.files)]
    wrong += [f"{PAGE.relative_to(ROOT)} lists src/{'/'.join(room)}, which is not there" for room in missing]

    def room(name):
        return next((name[:length] for length in range(len(name), 0, -1) if name[:length] in heights), None)

    for name, targets in sorted(crate.imports.items()):
        for target in sorted(targets):
            here, there = room(name), room(target)
            # What stands in a room itself is there for the rooms in it, too.
            if here and there and heights[there] < heights[here] and here[:len(there)] != there:
                wrong.append(f"src/{'/'.join(name)} imports src/{'/'.join(target)}, which stands above it in {PAGE.relative_to(ROOT)}")
    return wrong


def first_sentence(path):
    """The first sentence of a file's first comment."""
    words = []
    for line in path.read_text().splitlines():
        match = re.match(r"//!?\s?(.*)$", line)
        if not match or not match.group(1).strip():
            break
        words.append(match.group(1).strip())
    match = re.match(r"(.+?)\.(?:\s|$)", " ".join(words))
    return match.group(1) if match else " ".join(words)


def folders():
    """Every folder with its files, a folder's own file first; tests stand beside what they test and are left out."""
    found = defaultdict(list)
    for path in [*SRC.rglob("*.rs"), *(ROOT / "www/js").rglob("*.js")]:
        if not is_test(path):
            found[path.parent].append(path)
    for folder, paths in sorted(found.items()):
        yield folder, sorted(paths, key=lambda path: (path.name not in ("mod.rs", "lib.rs"), path.name))


def list_of_files():
    """The names of all files by folder, as the page has them."""
    lines = []
    for folder, paths in folders():
        names = ", ".join(f"`{path.name}`" for path in paths)
        lines += textwrap.wrap(f"- `{folder.relative_to(ROOT)}/`: {names}", 128, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def check_sentences():
    """Sentences about files that do not begin with a comment that says what they are for."""
    paths = [path for _, paths in folders() for path in paths]
    return [f"{path.relative_to(ROOT)} does not begin with a comment that says what the file is for" for path in paths
            if " " not in first_sentence(path)]


def check_page(write):
    """A sentence when the page's list of files is not what there is."""
    page = PAGE.read_text()
    head, mark, files = page.partition(MARK + "\n")
    if not mark:
        return [f"{PAGE.relative_to(ROOT)} lacks the line {MARK}"]
    if write:
        PAGE.write_text(f"{head}{mark}{list_of_files()}")
    elif files != list_of_files():
        have, want = set(re.findall("`[^`]+`", files)), set(re.findall("`[^`]+`", list_of_files()))
        changed = [f"  - {name}" for name in sorted(have - want)] + [f"  + {name}" for name in sorted(want - have)]
        return [f"{PAGE.relative_to(ROOT)} does not list the files that there are; scripts/check_architecture.py --write corrects it\n"
                + "\n".join(changed)]
    return []


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(f"{path.relative_to(ROOT)}: {first_sentence(path)}" for _, paths in folders() for path in paths))
        sys.exit()
    crate = Crate()
    if "--edges" in sys.argv:
        for name, targets in sorted(crate.imports.items()):
            print("/".join(name) or "lib", "->", " ".join("/".join(t) or "lib" for t in sorted(targets)))
        sys.exit()
    wrong = check_imports(crate) + check_order(crate) + check_sentences() + check_page("--write" in sys.argv)
    print("\n".join(wrong))
    sys.exit(bool(wrong))
