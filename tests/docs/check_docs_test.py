#!/usr/bin/env python3
"""What scripts/check_docs.py finds, and what it lets pass. REALSENSE_WEBRTC_BIN as there."""

import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts/check_docs.py"
sys.path.insert(0, str(SCRIPT.parent))
import docs_names as names  # noqa: E402 (it lies beside the script)

specification = importlib.util.spec_from_file_location("check_docs", SCRIPT)
docs = importlib.util.module_from_spec(specification)
sys.modules["check_docs"] = docs
specification.loader.exec_module(docs)
# What is printed here is printed at once.
docs.PRINTS_WITHIN_S = 2

PAGE = """# Page
<!-- docs-test: server -->
```sh
realsense-webrtc --sim-cameras 1
```

<!-- docs-test: printed -->
```text
realsense-webrtc listening on http://127.0.0.1:8000
```

```console
$ curl -s http://127.0.0.1:8000/api/health | jq -r .service
realsense-api
$ for line in one two three; do echo $line; done
one
…
three
```

<!-- docs-test: numbers vary; exit 3 -->
```console
$ echo 12 frames of    30.5; false
13 frames of 29
$ (exit 3)
```

<!-- docs-test: file my.toml -->
```toml
[sessions]
limit = 5
```

```sh
grep -q 'limit = 5' my.toml
cd docs
where=$PWD
```

```console
$ echo "${where##*/}"
docs
```
"""


class Examples(unittest.TestCase):
    def faults(self, text):
        """What is wrong with a page that would stand in the repository."""
        with tempfile.TemporaryDirectory(dir=docs.ROOT / "target") as folder:
            folder = Path(folder)
            page, copy = folder / "page.md", folder / "copy"
            page.write_text(text)
            (copy / "docs").mkdir(parents=True)
            return docs.run_page(page, copy)[0]

    def test_a_page_that_is_true_passes_but_for_the_command_that_fails(self):
        faults = self.faults(PAGE)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn("ended with 1 in place of 0", faults[0])
        self.assertEqual(self.faults(PAGE.replace("; false", "")), [])

    def test_every_line_that_is_changed_by_hand_is_found(self):
        true = PAGE.replace("; false", "")
        for line, changed in [
            ("listening on http://127.0.0.1:8000\n", "listening on http://127.0.0.1:8000 now\n"),
            ("\nrealsense-api\n", "\nrealsense-apis\n"),
            ("three\n```", "three\nfour\n```"),
            ("one\n…", "two\n…"),
            ("13 frames of 29", "13 frames in 29"),
            ("(exit 3)", "(exit 2)"),
            ("limit = 5\n```", "limit = \"five\"\n```"),
            ("cd docs", "cd nowhere"),
            ("$ echo \"${where##*/}\"\ndocs", "$ echo \"${where##*/}\"\ndoc"),
        ]:
            with self.subTest(changed=changed):
                self.assertIn(line, true)
                faults = self.faults(true.replace(line, changed))
                self.assertTrue(faults, changed)


class Names(unittest.TestCase):
    def test_what_is_not_there_is_found(self):
        self.assertEqual(list(names.check_files("`scripts/test.sh`, `docs/nowhere.md`")), ["there is no file docs/nowhere.md"])
        keys = names.configuration_keys('[sessions]\nlimit = 1\n[streams.color]\nwidth = 1\n')
        self.assertEqual(list(names.check_keys("`sessions.limit`, `streams.color.width`, `streams.*.width`", keys)), [])
        self.assertEqual(len(list(names.check_keys("`sessions.limits`, REALSENSE_WEBRTC__SESIONS__LIMIT", keys))), 2)
        routes = ["/api/devices/{device_id}/stream/status"]
        self.assertEqual(list(names.check_routes("`/api/devices/1/stream/status`, `/api/v1/devices/{id}/stream/status`", routes)), [])
        self.assertEqual(len(list(names.check_routes("`/api/devices/1/stream/state`", routes))), 1)
        self.assertEqual(list(names.check_version("version 0.2.0", "0.3.0")), ["this is version 0.3.0, not 0.2.0"])
        self.assertEqual(list(names.check_metrics("realsense_webrtc_sessions_bucket realsense_webrtc_seshuns", {"realsense_webrtc_sessions"})),
                         ["there is no metric realsense_webrtc_seshuns"])
        self.assertEqual(list(names.check_environment("REALSENSE_WEBRTC_TOKE", {"REALSENSE_WEBRTC_TOKEN"})),
                         ["nothing reads the environment variable REALSENSE_WEBRTC_TOKE"])

    def test_links_and_anchors(self):
        page = docs.ROOT / "docs/README.md"
        good, bad = "[a](../README.md#licence)", "[b](../README.md#nowhere) [c](nowhere.md)"
        self.assertEqual(list(names.check_links(page, good)), [])
        self.assertEqual(len(list(names.check_links(page, bad))), 2)


if __name__ == "__main__":
    unittest.main()
