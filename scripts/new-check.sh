#!/usr/bin/env bash
# Begins a check: its file with a test that fails, its entry in the list of its suite, and the script of a fault.
#
#   scripts/new-check.sh NAME SUITE               scripts/new-check.sh signer-names pki
#
# NAME says in the words of the field what is checked. The id is the next of the suite. Ids are never reused: suites/retired-ids has those of
# checks that were taken away.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "$*" >&2
    exit 2
}
(($# == 2)) || die "usage: scripts/new-check.sh NAME SUITE, where SUITE is one of $(cd suites && echo */mod.rs | sed 's#/mod.rs##g; y#_#-#')"
name=$1 suite=$2
folder=suites/${suite//-/_} list=suites/${suite//-/_}/mod.rs

[[ -f $list ]] || die "there is no suite $suite: $(cd suites && echo */mod.rs | sed 's#/mod.rs##g; y#_#-#')"
[[ $name =~ ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ ]] || die "a name is of lower-case words with hyphens between them, not $name"
# The id and the name of every check in a folder. The macro may take several lines.
checks() { find "$1" -name '*.rs' -exec cat {} + | tr '\n' ' ' | grep -oE 'check!\( *"[A-Z]+-[0-9]+", *"[a-z0-9-]+"' | cut -d '"' -f 2,4 | tr '"' ' '; }
! checks suites | grep -q " $name\$" || die "there is a check of that name: $name"
ids=$(checks "$folder" | cut -d ' ' -f 1)
prefix=${ids%%-*}
last=$({ echo "$ids"; grep "^$prefix-" suites/retired-ids || true; } | sort -V | tail -n 1)
printf -v id '%s-%02d' "$prefix" "$((10#${last##*-} + 1))"

module=${name//-/_} fault=tests/faults/$name-broken
check=$folder/$module.rs
for file in "$check" "$fault"; do
    [[ ! -e $file ]] || die "$file exists"
done

cat >"$check" <<END
//! # State in one sentence what is true of a healthy cluster
//!
//! ## Why
//! Say what breaks, and for whom, if it is not true.
//!
//! ## Fix
//! Say how to fix it in general; a finding has the command for its own case.
//!
//! ## Source
//! Name the documentation, the source code or the standard that says so.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};

crate::check!("$id", "$name", Minor, judge);

fn judge(nodes: &Nodes) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, node) in &nodes.0 {
        verdict.expect(Subject::node(name), is_healthy(node), || {
            Finding::new("what is true of a healthy node", "what this node shows instead")
                .impact("what breaks for whom")
                .fix(format!("kubectl describe node {name}"))
        });
    }
    verdict
}

fn is_healthy(_: &Node) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::testing::seen_of;

    #[test]
    fn the_fault_is_found() {
        let broken = Nodes(BTreeMap::from([("n1".to_owned(), Node::default())]));
        assert_eq!(
            seen_of(&judge(&broken)),
            ["Node n1: what this node shows instead"],
            "$id finds nothing yet: write its judge in $check, and give this test the facts of a broken cluster"
        );
    }
}
END

# A list is sorted by id, and this id is the last.
sed -i "0,/^pub mod /s//pub mod $module;\n&/" "$list"
sed -i "s/^    \],$/        $module,\n&/" "$list"
if command -v rustfmt >/dev/null; then
    rustfmt --edition 2024 "$list"
fi

cat >"$fault" <<END
#!/usr/bin/env bash
# Say in one sentence what is broken, and how that happens in practice.
set -euo pipefail
. "\$(dirname "\$0")/lib/testbed.bash"

expected() {
    cat <<'LINES'
$id fail what this node shows instead
LINES
}

apply() {
    echo "$fault breaks nothing yet: write apply and revert" >&2
    return 1
}

revert() { :; }

fault "\$@"
END
chmod +x "$fault"

cat <<END
made   $check, which is $id
made   $fault
listed $list

next   cargo test --lib $module       fails until the judge is written
       CONTRIBUTING.md has the other steps
END
