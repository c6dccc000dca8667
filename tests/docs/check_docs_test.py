#!/usr/bin/env python3
"""What scripts/check_docs.py finds, and what it lets pass. REALSENSE_WEBRTC_BIN as there."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
import check_docs as docs  # noqa: E402 (it lies in another folder)
import docs_names as names  # noqa: E402

# What is printed here is printed at once, and where a setup fails, what waits for it waits in vain.
docs.PRINTS_WITHIN_S = 2
docs.START_LIMIT_S = 20

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


HIDDEN = """# Page
<!-- docs-test: serve REALSENSE_WEBRTC_TOKEN=t realsense-webrtc --sim-cameras 1 -->
<!-- docs-test: setup echo begun >notes -->
<!-- docs-test: viewers --token t color depth -->
<!-- docs-test: until grep -q begun notes -->
```console
$ curl -s -H 'Authorization: Bearer t' http://127.0.0.1:8000/api/webrtc/sessions | jq length
2
```
<!-- docs-test: append notes -->
```text
more
```
<!-- docs-test: alone -->
```console
$ curl -s -H 'Authorization: Bearer t' http://127.0.0.1:8000/api/webrtc/sessions | jq length; tail -n 1 notes
0
more
```
<!-- docs-test: skip needs a camera -->
```sh
false
```
<!-- docs-test: background -->
```sh
while true; do date >>dates; sleep 0.1; done
```
<!-- docs-test: until grep -q . dates -->
```sh
test -s dates
```
"""


class Examples(unittest.TestCase):
    def faults(self, text):
        """What is wrong with a page that would stand in the repository."""
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            page, copy = folder / "page.md", folder / "copy"
            page.write_text(text)
            (copy / "docs").mkdir(parents=True)
            return docs.run_page(page, copy)[0]

    def assert_found(self, true, line, changed):
        """That a true page with one line changed by hand is not true any more."""
        with self.subTest(changed=changed):
            self.assertIn(line, true)
            self.assertTrue(self.faults(true.replace(line, changed)), changed)

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
            self.assert_found(true, line, changed)

    def test_what_readers_do_not_see_is_done(self):
        self.assertEqual(self.faults(HIDDEN), [])
        for line, changed in [
            ("viewers --token t color depth", "viewers --token t color"),
            ("setup echo begun >notes", "setup false"),
            ("alone -->", "until true -->"),
            ("skip needs", "nubmers vary; skip needs"),
            ("text\nmore", "text\nless"),
        ]:
            self.assert_found(HIDDEN, line, changed)

    def test_a_refusal_and_output_that_is_not_shown_are_found(self):
        begins = "<!-- docs-test: serve realsense-webrtc --sim-cameras 1 -->\n"
        address = "http://127.0.0.1:8000/api"
        for block in [
            f"```sh\ncurl -s {address}/nowhere\n```",
            f"```sh\ncurl -s {address}/nowhere | cat\n```",
            f"```console\n$ curl -s -o file {address}/nowhere\n```",
            "```console\n$ echo shown\n```",
            "```sh\nexit 0\n```",
        ]:
            with self.subTest(block=block):
                self.assertTrue(self.faults(begins + block))
        self.assertEqual(self.faults(f"{begins}```sh\ncurl -s {address}/health | cat\n```"), [])

    def test_numbers_that_vary_are_no_names(self):
        pattern = docs.expected(["color.h264 infrared-1 H264 12 frames 3.5 (7)"], True)
        self.assertRegex("color.h264 infrared-1 H264 9 frames 30 (8)\n", pattern)
        for other in ["color.h265 infrared-1 H264 9 frames 30 (8)\n", "color.h264 infrared-2 H264 9 frames 30 (8)\n",
                      "color.h264 infrared-1 H265 9 frames 30 (8)\n"]:
            self.assertNotRegex(other, pattern)


class Names(unittest.TestCase):
    def test_what_is_not_there_is_found(self):
        self.assertEqual(list(names.check_files("`scripts/test.sh`, `docs/nowhere.md`")), ["there is no file docs/nowhere.md"])
        keys = names.configuration_keys('[sessions]\nlimit = 1\n[streams.color]\nwidth = 1\n')
        self.assertEqual(list(names.check_keys("`sessions.limit`, `streams.color.width`, `streams.*.width`", keys)), [])
        for wrong in ["`sessions.limits`", "REALSENSE_WEBRTC__SESIONS__LIMIT", "`streams.*.wdth`", "`sesions.limit`", "`sessions.limitt = 5`"]:
            self.assertEqual(len(list(names.check_keys(wrong, keys))), 1, wrong)
        routes = {("GET", "/api/devices/{device_id}/stream/status")}
        for right in ["`/api/devices/1/stream/status`", "GET `/api/v1/devices/{id}/stream/status`", "http://robot:8000/api/devices/1/stream/status"]:
            self.assertEqual(list(names.check_routes(right, routes)), [], right)
        for wrong in ["`/api/devices/1/stream/state`", "POST /api/devices/1/stream/status", "http://robot:8000/api/devices/1/nonsense"]:
            self.assertEqual(len(list(names.check_routes(wrong, routes))), 1, wrong)
        self.assertEqual(list(names.check_routes("| `GET /devices/{device_id}/stream/status` |", routes, "/api")), [])
        self.assertEqual(len(list(names.check_routes("| `GET /devices/{device_id}/stream/stats` |", routes, "/api"))), 1)
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
