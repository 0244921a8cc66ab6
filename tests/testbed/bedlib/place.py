"""Where everything of a cluster is, and how commands are run."""
import fcntl, contextlib, json, os, pathlib, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parents[1]
# What all clusters share: the binaries, and images made of them.
CACHE = pathlib.Path(os.environ.get("BED_CACHE", "/var/tmp/bed-cache"))
# The cluster that this process works on; inside a further cluster's namespaces the environment names it.
CLUSTER = os.environ.get("BED_CLUSTER", "")
STATE = pathlib.Path(os.environ.get("BED_STATE", "/var/tmp/bed"))
ADMIN = STATE / "admin.conf"

BOOT_ID = "/proc/sys/kernel/random/boot_id"
RELEASES = json.loads((HERE / "releases.json").read_text())
NEWEST = next(iter(RELEASES))
START = time.monotonic()


def shape():
    """What `up` was asked for, or None when no cluster is up."""
    file = STATE / "shape.json"
    return json.loads(file.read_text()) if file.exists() else None


def programs(release=None):
    """Where the programs of a release are: by default those of the cluster that is up."""
    return CACHE / f"bin-{release or (shape() or {}).get('kubernetes', NEWEST)}"


def environment(release=None):
    return {**os.environ, "PATH": f"{programs(release)}:{os.environ['PATH']}"}


def log(text):
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"bed: {text}")


def run(*command, check=True, **options):
    """Runs a command to its end and returns what it printed; a failure ends the program."""
    options.setdefault("capture_output", True)
    options.setdefault("text", True)
    done = subprocess.run([str(word) for word in command], **options)
    if check and done.returncode:
        printed = "".join(text[-3000:] for text in (done.stdout, done.stderr) if isinstance(text, str))
        fail(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{printed}")
    return done


def wait_for(seconds, what, condition):
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (held := condition()):
        if time.monotonic() > deadline:
            fail(f"gave up after {seconds} s: {what}")
        time.sleep(0.05)
    return held


def write_script(path, command):
    """A script that becomes this command, with the programs of the cluster on the path, until this machine restarts."""
    boot = pathlib.Path(BOOT_ID).read_text().strip()
    path.write_text(f"""#!/bin/sh
read -r boot <{BOOT_ID}
[ "$boot" = {boot} ] || {{ echo "bed: this machine was restarted: bed down, then up" >&2; exit 1; }}
PATH={programs()}:$PATH
exec {command}
""")
    path.chmod(0o755)


@contextlib.contextmanager
def locked():
    """One process at a time works on what all clusters share."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
