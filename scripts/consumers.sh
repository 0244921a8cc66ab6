#!/usr/bin/env bash
# Reads the samples in reports/ with programs of others: what a schema allows may still be something that they do not read.
# What they need is installed in target/consumers. The end names what was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

OUT=$PWD/target/consumers
READ=0
SKIPPED=()
mkdir -p "$OUT"

skip() { # NAME WHY
    echo "--- $1: skipped: $2"
    SKIPPED+=("$1: $2")
}

read_by() { # NAME COMMAND...
    echo "==> $1"
    "${@:2}"
    READ=$((READ + 1))
}

python_tools() {
    [[ -x $OUT/python/bin/sarif ]] && return
    command -v python3 >/dev/null || return
    python3 -m venv "$OUT/python" && "$OUT/python/bin/pip" install --quiet sarif-tools==3.0.5
}

node_tools() {
    [[ -d $OUT/node_modules/marked ]] && return
    command -v npm >/dev/null || return
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$OUT" tap-parser@18.3.4 ctrf@0.3.0 marked@18.2.1
}

csv_module() {
    python3 - <<'PYTHON'
import csv
rows = list(csv.DictReader(open("reports/sample.csv", newline="", encoding="utf-8"), strict=True))
assert all(None not in row and None not in row.values() for row in rows), "a row has more or fewer cells than the header"
found = [row for row in rows if row["kind"] == "finding"]
assert {row["check"] for row in found} >= {"AA-18", "DI-06", "DN-04"}, found
assert len({row["check"] for row in rows}) == 117, "not every check has a row"
print(f"{len(rows)} rows, {len(found)} findings")
PYTHON
}

sarif_tools() {
    "$OUT/python/bin/sarif" summary reports/sample.sarif | tee "$OUT/sarif.txt"
    grep -q "AA-18" "$OUT/sarif.txt"
    "$OUT/python/bin/sarif" html --output "$OUT/sarif.html" reports/sample.sarif
    grep -q "DI-06" "$OUT/sarif.html"
}

tap_parser() {
    (cd "$OUT" && node --input-type=module - "$1") <<'NODE'
import { readFileSync } from "node:fs";
import { Parser } from "tap-parser";
const text = readFileSync(process.argv[2], "utf8");
const [failures, extra] = [[], []];
const parser = new Parser({ strict: true }, (results) => {
  const { count, pass, fail, skip, bailout } = results;
  console.log({ count, pass, fail, skip, bailout });
  if (extra.length > 0) throw new Error(`not TAP: ${extra}`);
  if (count !== 117 || fail !== 3 || bailout) throw new Error("the counts are not those of the sample");
  if (!failures.every((point) => point.diag?.findings?.[0]?.fix)) throw new Error("a failure has no findings in its block");
});
parser.on("assert", (point) => point.ok || failures.push(point));
parser.on("extra", (line) => extra.push(line));
parser.end(text);
NODE
}

ctrf_package() {
    (cd "$OUT" && node --input-type=module - "$1") <<'NODE'
import { readFileSync } from "node:fs";
import * as ctrf from "ctrf";
const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const validate = ctrf.validateStrict ?? ctrf.validate;
if (!validate) throw new Error(`the package exports no validation: ${Object.keys(ctrf)}`);
const result = validate(report);
if (result && result.valid === false) throw new Error(JSON.stringify(result.errors));
console.log(report.results.summary);
NODE
}

marked_package() {
    (cd "$OUT" && node --input-type=module - "$1") <<'NODE'
import { readFileSync } from "node:fs";
import { marked } from "marked";
const text = readFileSync(process.argv[2], "utf8");
const html = marked.parse(text, { gfm: true });
const tables = html.match(/<table>/g)?.length ?? 0;
const blocks = html.match(/<pre><code/g)?.length ?? 0;
console.log({ bytes: text.length, tables, blocks });
if (text.length > 65536 || tables < 3 || blocks < 5 || /<a /.test(html)) throw new Error("the page is not the sample's");
NODE
}

if command -v python3 >/dev/null; then
    read_by "CSV by Python's csv" csv_module
else
    skip "CSV by Python's csv" "there is no python3"
fi
if python_tools; then
    read_by "SARIF by sarif-tools" sarif_tools
else
    skip "SARIF by sarif-tools" "it could not be installed"
fi
if node_tools; then
    read_by "TAP by tap-parser" tap_parser "$PWD/reports/sample.tap"
    read_by "CTRF by ctrf" ctrf_package "$PWD/reports/sample.ctrf.json"
    read_by "Markdown by marked" marked_package "$PWD/reports/sample.md"
else
    skip "TAP, CTRF and Markdown by packages of Node" "they could not be installed"
fi

for what in "${SKIPPED[@]}"; do
    echo "skipped: $what"
done
echo "$READ samples were read by programs of others"
