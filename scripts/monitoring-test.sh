#!/usr/bin/env bash
# What is for Prometheus, tried with the real programs: the metrics of the example, the alert rules, and what --push sends.
#
#   PROGRAM=FILE scripts/monitoring-test.sh
#
# promtool, node_exporter, a Pushgateway and Alertmanager are those of Debian: on the PATH, or else unpacked into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

PROGRAM=${PROGRAM:-$PWD/target/debug/seaworthy}
TOOLS=$PWD/target/tools
OUT=$(mktemp -d)
export PATH=$PATH:$TOOLS/usr/bin
JOBS=()
trap 'kill "${JOBS[@]}" 2>/dev/null || true; rm -rf "$OUT"' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

install_tools() {
    local packages=()
    command -v promtool >/dev/null || packages+=(prometheus)
    command -v prometheus-pushgateway >/dev/null || packages+=(prometheus-pushgateway)
    command -v prometheus-alertmanager >/dev/null || packages+=(prometheus-alertmanager)
    command -v prometheus-node-exporter >/dev/null || packages+=(prometheus-node-exporter)
    ((${#packages[@]})) || return 0
    # Unpacked and not installed: nothing here is to run as a service.
    mkdir -p "$TOOLS/deb"
    (cd "$TOOLS/deb" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}")
    for package in "$TOOLS"/deb/*.deb; do
        dpkg -x "$package" "$TOOLS"
    done
}

# A port of the loopback interface on which nothing listens.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() { # URL
    for _ in $(seq 150); do
        curl --silent --fail --output /dev/null "$1" && return
        sleep 0.2
    done
    fail "$1 does not answer"
}

# The example, whose cluster has faults: exit code 1.
example() { # FLAG...
    local code=0
    "$PROGRAM" run --example "$@" >"$OUT/text" 2>"$OUT/errors" || code=$?
    ((code == 1)) || fail "the example ended with $code: $(cat "$OUT/errors")"
    [[ ! -s $OUT/errors ]] || fail "$(cat "$OUT/errors")"
}

has() { # FILE LINE
    grep -qF "$2" "$1" || fail "$2 is not in $1"
}

metrics() {
    example --report "openmetrics=$OUT/seaworthy.prom"
    promtool check metrics <"$OUT/seaworthy.prom"
    # The parser of OpenMetrics wants times to import a file.
    mkdir "$OUT/blocks"
    sed -E '/^#/!s/$/ 1795442400/' "$OUT/seaworthy.prom" >"$OUT/timed"
    promtool tsdb create-blocks-from openmetrics "$OUT/timed" "$OUT/blocks" >/dev/null
    [[ -n $(ls "$OUT/blocks") ]] || fail 'OpenMetrics reads no series'
    sed '/# EOF/d' "$OUT/timed" >"$OUT/cut"
    ! promtool tsdb create-blocks-from openmetrics "$OUT/cut" "$OUT/blocks" >/dev/null 2>&1 || fail 'not read as OpenMetrics'
}

rules() {
    promtool check rules monitoring/alerts.yaml
    promtool test rules monitoring/alerts.test.yaml
}

textfile_collector() {
    local port
    port=$(free_port)
    mkdir "$OUT/textfile"
    example --report "openmetrics=$OUT/textfile/seaworthy.prom"
    prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$OUT/textfile" \
        --web.listen-address="127.0.0.1:$port" 2>"$OUT/node_exporter.log" &
    JOBS+=($!)
    answers "http://127.0.0.1:$port/metrics"
    curl --silent "http://127.0.0.1:$port/metrics" >"$OUT/scraped"
    has "$OUT/scraped" 'node_textfile_scrape_error 0'
    # Every series arrives.
    local sent arrived
    sent=$(grep -c '^seaworthy_' "$OUT/textfile/seaworthy.prom")
    arrived=$(grep -c '^seaworthy_' "$OUT/scraped")
    ((sent > 100 && sent == arrived)) || fail "of $sent series, node_exporter has $arrived"
}

pushgateway() {
    local port
    port=$(free_port)
    prometheus-pushgateway --web.listen-address="127.0.0.1:$port" 2>"$OUT/pushgateway.log" &
    JOBS+=($!)
    answers "http://127.0.0.1:$port/-/ready"
    # Twice: the second one replaces the first.
    example --push "pushgateway+http://127.0.0.1:$port"
    example --push "pushgateway+http://127.0.0.1:$port"
    curl --silent "http://127.0.0.1:$port/metrics" >"$OUT/pushed"
    grep -q '^seaworthy_run_success{.*job="seaworthy".*} 1$' "$OUT/pushed" || fail 'the Pushgateway has no seaworthy_run_success'
    grep -q '^seaworthy_run_success{.*cluster="..*"' "$OUT/pushed" || fail 'its group has no cluster'
    (($(grep -c '^seaworthy_run_success{' "$OUT/pushed") == 1)) || fail 'two runs are two groups'
    has "$OUT/pushed" 'push_failure_time_seconds{cluster='
}

alertmanager() {
    local port share
    port=$(free_port)
    share=$(dirname "$(realpath "$(command -v prometheus-alertmanager)")")/../share
    printf 'route: { receiver: none }\nreceivers: [{ name: none }]\n' >"$OUT/alertmanager.yml"
    # Debian's reads its templates at a fixed path: it gets a view of the machine in which what was unpacked is there.
    # shellcheck disable=SC2016
    unshare --map-root-user --mount bash -c 'mount --bind "$1" /usr/share && shift && exec "$@"' _ "$share" \
        prometheus-alertmanager --config.file="$OUT/alertmanager.yml" --storage.path="$OUT/alertmanager" --cluster.listen-address= \
        --web.listen-address="127.0.0.1:$port" 2>"$OUT/alertmanager.log" &
    JOBS+=($!)
    answers "http://127.0.0.1:$port/-/ready"
    "$PROGRAM" run --example --events "$OUT/run.jsonl" >/dev/null || true
    # The recording is of another day: an alert of then would be over by now.
    sed -Ei "1s/\"at\":\"[^\"]*\"/\"at\":\"$(date -u +%FT%TZ)\"/" "$OUT/run.jsonl"
    "$PROGRAM" report "$OUT/run.jsonl" --push "alertmanager+http://127.0.0.1:$port" >/dev/null
    curl --silent "http://127.0.0.1:$port/api/v2/alerts" >"$OUT/alerts.json"
    local fails fires
    fails=$("$PROGRAM" report "$OUT/run.jsonl" -o json | jq '.counts.fail')
    fires=$(jq '[.[] | select(.labels.alertname == "SeaworthyCheckFails" and .status.state == "active")] | length' "$OUT/alerts.json")
    ((fails > 0 && fails == fires)) || fail "of $fails checks that fail, Alertmanager shows $fires"
    # Once it passes, its alert is over.
    sed -E 's/"outcome":"fail"/"outcome":"pass"/g' "$OUT/run.jsonl" >"$OUT/repaired.jsonl"
    sed -Ei "1s/\"at\":\"[^\"]*\"/\"at\":\"$(date -u +%FT%TZ)\"/" "$OUT/repaired.jsonl"
    "$PROGRAM" report "$OUT/repaired.jsonl" --push "alertmanager+http://127.0.0.1:$port" >/dev/null
    fires=$(curl --silent "http://127.0.0.1:$port/api/v2/alerts" | jq 'length')
    ((fires == 0)) || fail "$fires alerts are left after all checks passed"
}

install_tools
for step in metrics rules textfile_collector pushgateway alertmanager; do
    echo "==> $step"
    "$step"
done
echo 'monitoring: everything was read by the programs that it is for'
