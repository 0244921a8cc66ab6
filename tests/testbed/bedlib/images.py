"""The container images of the cluster, made of its programs: nothing is pulled."""
import glob, hashlib, io, json, os, platform, shutil, subprocess, tarfile

from .binaries import digest
from .place import CACHE, RELEASES, environment, locked, log, programs as programs_of, run, wait_for

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
LAYER, MANIFEST, CONFIG = (f"application/vnd.oci.image.{kind}" for kind in ("layer.v1.tar", "manifest.v1+json", "config.v1+json"))
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def images(release):
    """The layers and the entry point of each image, under the names that kubeadm gives them."""
    versions = RELEASES[release]
    kubernetes = {
        f"registry.k8s.io/kube-{component}:{versions['kubernetes']}": ([kube], [])
        for component in ("apiserver", "controller-manager", "scheduler")
    }
    return kubernetes | {
        f"registry.k8s.io/kube-proxy:{versions['kubernetes']}": ([kube, packet_filters], []),
        f"registry.k8s.io/etcd:{versions['etcd']}": ([etcd], []),
        f"registry.k8s.io/coredns/coredns:{versions['coredns']}": ([coredns], ["/coredns"]),
        pause_image(release): ([pause], ["/pause"]),
        "bed.test/busybox:1": ([busybox], []),
    }


def pause_image(release):
    return f"registry.k8s.io/pause:{RELEASES[release]['pause']}"


# ---- layers ------------------------------------------------------------------------------------------------------

def add(tar, path, source=None, data=None, link=None, mode=0o755):
    """Adds a copy of a file, a file with this content, a link, or (with none of them) a directory."""
    info = tarfile.TarInfo(str(path).lstrip("/"))
    info.mode, info.mtime = mode, 0
    if source:
        info.size = os.path.getsize(source)
        with open(source, "rb") as file:
            tar.addfile(info, file)
    elif data is not None:
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    elif link:
        info.type, info.linkname = tarfile.SYMTYPE, link
        tar.addfile(info)
    else:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)


def kube(tar, programs):
    add(tar, "usr/local/bin/kube", programs / "kube")
    for component in ("apiserver", "controller-manager", "scheduler", "proxy"):
        add(tar, f"usr/local/bin/kube-{component}", link="kube")


def packet_filters(tar, _):
    """iptables, nft and conntrack of this machine, with every shared library that they load, at the same paths."""
    programs = [path for name in ("xtables-nft-multi", "nft", "conntrack", "ipset") if (path := shutil.which(name))]
    plugins = glob.glob(f"/usr/lib/{platform.machine()}-linux-gnu/xtables/*.so")
    files = {*programs, *plugins}
    for file in [*programs, *plugins]:
        files.update(word for word in run("ldd", os.path.realpath(file)).stdout.split() if word.startswith("/"))
    for file in sorted(files):
        add(tar, file, os.path.realpath(file))
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            add(tar, f"usr/sbin/{name}{suffix}", link="xtables-nft-multi")


def etcd(tar, programs):
    for name in ("etcd", "etcdctl"):
        add(tar, f"usr/local/bin/{name}", programs / name)


def coredns(tar, programs):
    add(tar, "coredns", programs / "coredns")


def pause(tar, programs):
    add(tar, "pause", programs / "pause")


def busybox(tar, _):
    program = shutil.which("busybox")
    add(tar, "bin/busybox", program)
    for applet in run(program, "--list").stdout.split():
        if applet != "busybox":
            add(tar, f"bin/{applet}", link="busybox")
    add(tar, "etc/passwd", data=b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", mode=0o644)


def write_layer(make, path, programs):
    with tarfile.open(path, "w") as tar:
        make(tar, programs)
        for name in ("etc", "var", "run"):
            add(tar, name)
        add(tar, "tmp", mode=0o1777)


# ---- the archive ------------------------------------------------------------------------------------------------------

def write_archive(path, images, programs, scratch):
    """An OCI image layout with these images, as a tar."""
    layers = {}
    for make in {layer for made_of, _ in images.values() for layer in made_of}:
        file = scratch / make.__name__
        write_layer(make, file, programs)
        layers[make] = {"mediaType": LAYER, "digest": f"sha256:{digest(file)}", "size": file.stat().st_size}
    documents = {}

    def document(media_type, content):
        data = json.dumps(content).encode()
        name = f"sha256:{hashlib.sha256(data).hexdigest()}"
        documents[name] = data
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    manifests = []
    for name, (made_of, entrypoint) in images.items():
        config = document(CONFIG, {
            "architecture": ARCHITECTURE, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {"Env": [PATH], "Entrypoint": entrypoint},
            "rootfs": {"type": "layers", "diff_ids": [layers[layer]["digest"] for layer in made_of]},
        })
        manifest = document(MANIFEST, {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layers[layer] for layer in made_of],
        })
        names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        manifests.append({**manifest, "annotations": names})
    with tarfile.open(path, "w") as tar:
        add(tar, "oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}', mode=0o644)
        add(tar, "index.json", data=json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(), mode=0o644)
        for name, data in documents.items():
            add(tar, f"blobs/{name.replace(':', '/')}", data=data, mode=0o644)
        for make, layer in layers.items():
            add(tar, f"blobs/{layer['digest'].replace(':', '/')}", scratch / make.__name__, mode=0o644)


# ---- containerd ------------------------------------------------------------------------------------------------------

def write_containerd_config(path, release, root, state, systemd=False):
    programs = programs_of(release)
    path.write_text(f"""version = 3
root = "{root}"
state = "{state}"
[grpc]
  address = "{state}/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause_image(release)}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = {str(systemd).lower()}
      BinaryName = "{programs}/runc"
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{programs}/cni"]
    conf_dir = "/etc/cni/net.d"
""")


def seed(release):
    """A directory of containerd that holds every image, made once: nodes start with hard links to it."""
    root, scratch = CACHE / f"seed-{release}", CACHE / "scratch"
    with locked():
        if root.exists():
            return root
        log("making the images")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        archive, config, state = scratch / "images.tar", scratch / "containerd.toml", scratch / "run"
        write_archive(archive, images(release), programs_of(release), scratch)
        write_containerd_config(config, release, scratch / "root", state)
        with open(CACHE / "seed.log", "w") as printed:
            daemon = subprocess.Popen(["containerd", "--config", config], stdout=printed, stderr=printed, env=environment(release))
        try:
            socket = state / "containerd.sock"
            wait_for(30, f"containerd starts: see {CACHE}/seed.log", socket.exists)
            run("ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive, env=environment(release))
        finally:
            daemon.terminate()
            daemon.wait()
        (scratch / "root").rename(root)
        shutil.rmtree(scratch)
    return root


def copy_seed(source, target):
    """Files of the images are linked, as nothing changes them; databases are copied."""
    run("cp", "-al", source, target)
    for database in target.rglob("*.db"):
        copy = database.with_suffix(".new")
        shutil.copy2(database, copy)
        copy.replace(database)


def load(archive, node_directory, on_node):
    """Loads an archive of images on one node."""
    copy = node_directory / "load.tar"
    shutil.copy(archive, copy)
    on_node("ctr", "-n", "k8s.io", "images", "import", copy)
    copy.unlink()
