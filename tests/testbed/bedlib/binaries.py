"""The programs of the cluster: unpacked from archives where there are some, or built from their Go modules."""
import hashlib, os, pathlib, shutil, subprocess

from .place import CACHE, HERE, NEWEST, RELEASES, fail, locked, log, programs, run

# Archives of what `build` makes: bin.tar.xz for the newest release, kube-RELEASE.tar.xz for what differs in an older one.
ARCHIVES = pathlib.Path(os.environ.get("BED_ARCHIVES", HERE.parents[2] / "shared/testbed"))
PACKAGES = {  # by a program of each
    "ip": "iproute2", "iptables": "iptables", "nft": "nftables", "conntrack": "conntrack", "modprobe": "kmod", "haproxy": "haproxy",
    "busybox": "busybox-static", "openssl": "openssl", "xz": "xz-utils", "jq": "jq", "curl": "curl", "nsenter": "util-linux", "pgrep": "procps",
}
PACKAGES_TO_BUILD = {"gcc": "gcc", "pkg-config": "pkg-config"}
SYSTEMD = pathlib.Path("/usr/lib/systemd/systemd")


def missing_packages(building=False):
    wanted = {**PACKAGES, **(PACKAGES_TO_BUILD if building else {})}
    missing = [package for program, package in wanted.items() if not shutil.which(program)]
    if building and not list(pathlib.Path("/usr/include").glob("**/seccomp.h")):
        missing.append("libseccomp-dev")
    return missing if SYSTEMD.exists() else [*missing, "systemd"]


def install_packages(packages):
    if packages:
        log(f"installing {' '.join(packages)}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages, env=quiet)


def install(release, may_build=True):
    """Installs all that a cluster of this release needs."""
    install_packages(missing_packages())
    with locked():
        if release != NEWEST:
            ensure(NEWEST, may_build)
        ensure(release, may_build)


def ensure(release, may_build):
    """Makes the programs of a release, unless they are there and were made of the same source."""
    target, archive = programs(release), ARCHIVES / ("bin.tar.xz" if release == NEWEST else f"kube-{release}.tar.xz")
    source = fingerprint([archive] if archive.exists() else sources())
    stamp = target / "source"
    if stamp.exists() and stamp.read_text() == source:
        return
    if not archive.exists() and not may_build:
        fail(f"the programs of {release} must be built first")
    log(f"{'unpacking' if archive.exists() else 'building'} the programs of {release}")
    shutil.rmtree(target, ignore_errors=True)
    for seed in CACHE.glob(f"seed-{release}*"):
        shutil.rmtree(seed)
    if release == NEWEST:
        target.mkdir(parents=True)
    else:  # the rest is the same: containerd, runc, CoreDNS, the network plugins
        run("cp", "-al", programs(NEWEST), target)
        stamp.unlink()
    if archive.exists():
        run("tar", "--unlink-first", "-xJf", archive, "-C", target)
    else:
        install_packages(missing_packages(building=True))
        if not shutil.which("go"):
            fail("building the programs needs Go: see https://go.dev/doc/install")
        versions = RELEASES[release]
        other = [] if release == NEWEST else [versions["kubernetes"], versions.get("etcd_program", "")]
        subprocess.run([HERE / "build", target, *other], check=True)
    stamp.write_text(source)


def sources():
    return sorted(path for path in [HERE / "build", HERE / "releases.json", *HERE.glob("modules/**/*")] if path.is_file())


def fingerprint(files):
    total = hashlib.sha256()
    for path in files:
        total.update(digest(path).encode())
    return total.hexdigest()


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            total.update(part)
    return total.hexdigest()
