//! Starts the real CoreDNS with each Corefile of `tests/corefiles`, and compares whether it starts with what the case
//! states. The same cases are judged by DN-03 in its own tests.
//!
//! `COREDNS=/path/to/coredns cargo test --test corefiles -- --ignored`, as root: each runs in namespaces of
//! its own, where it finds its files in /etc/coredns and may listen at any port. Without the executable there is nothing
//! to compare with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// How many run at the same time. Those with the plugin kubernetes wait 5 s for an API server.
const AT_ONCE: usize = 12;

/// What is around CoreDNS: files, a resolver, the credentials of a pod and the address of node-local-dns.
const SCENE: &str = r#"
ip link set lo up
ip address add 169.254.20.10/32 dev lo
mount -t tmpfs none /run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
echo token > /var/run/secrets/kubernetes.io/serviceaccount/token
mount -t tmpfs none /mnt
mkdir -p /mnt/upper /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
mkdir -p /etc/coredns
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.53' > /etc/resolv.conf
mount --bind "$SCENE/coredns" /etc/coredns
exec timeout -k 1 20 "$COREDNS" -conf /etc/coredns/Corefile
"#;

struct Case {
    name: String,
    starts: bool,
    environment: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corefiles");
    let files = fs::read_dir(directory).expect("the cases are there").map(|file| file.expect("it is a file").path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    texts.flat_map(|path| read(&fs::read_to_string(path).expect("it is text"))).collect()
}

fn read(text: &str) -> Vec<Case> {
    let case = |case: &str| {
        let (head, files) = case.split_once("\n---\n").expect("a case has a Corefile");
        let mut lines = head.lines();
        let (name, starts) = lines.next().and_then(|line| line.rsplit_once(": ")).expect("a case has a head");
        let variables = lines.filter_map(|line| line.strip_prefix("env ")?.split_once('='));
        let files = format!("Corefile\n{files}");
        let files = files.split("\n--- ").filter_map(|file| file.split_once('\n'));
        Case {
            name: name.to_owned(),
            starts: starts == "starts",
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            files: files.map(|(path, text)| (path.to_owned(), format!("{text}\n"))).collect(),
        }
    };
    text.split("=== ").skip(1).map(case).collect()
}

/// Whether CoreDNS starts, and what it prints.
fn starts(coredns: &Path, case: &Case) -> (bool, String) {
    let scene = tempfile::tempdir().expect("a directory can be made");
    for (path, text) in &case.files {
        let path = scene.path().join("coredns").join(path);
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory can be made");
        fs::write(path, text).expect("a file can be written");
    }
    let mut child = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", SCENE])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("COREDNS", coredns)
        .env("SCENE", scene.path())
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", "1")
        .envs(&case.environment)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare runs");
    // It prints its version when every server listens.
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut printed = Vec::new();
    let mut started = false;
    for line in lines {
        started |= line.starts_with("CoreDNS-");
        printed.push(line);
        if started {
            break;
        }
    }
    child.kill().expect("it can be stopped");
    let output = child.wait_with_output().expect("it ends");
    printed.push(String::from_utf8_lossy(&output.stderr).into_owned());
    (started, printed.join("\n"))
}

/// Takes one of those that are left.
fn next(rest: &Mutex<Vec<Case>>) -> Option<Case> {
    rest.lock().expect("no thread panicked").pop()
}

#[test]
fn the_cases_are_read() {
    let cases = cases();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    assert!(cases.iter().filter(|case| case.starts).count() >= 50);
    assert!(cases.iter().all(|case| case.files.contains_key("Corefile")));
}

#[test]
#[ignore = "needs the executable of CoreDNS in COREDNS, and root for namespaces"]
fn coredns_agrees() {
    let coredns = std::env::var_os("COREDNS").map(PathBuf::from).expect("COREDNS names the executable of CoreDNS");
    let all = cases();
    let count = all.len();
    let rest = Mutex::new(all);
    let differ = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next(&rest) {
                    let (started, printed) = starts(&coredns, &case);
                    if started != case.starts {
                        differ.lock().expect("no thread panicked").push(format!("{}: {printed}", case.name));
                    }
                }
            });
        }
    });
    let differ = differ.into_inner().expect("no thread panicked");
    assert!(differ.is_empty(), "{} of {count} differ:\n{}", differ.len(), differ.join("\n\n"));
}
