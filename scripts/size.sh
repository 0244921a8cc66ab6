#!/usr/bin/env bash
# Shows where the bytes of the static executable come from: its sections, and the code and constants of each crate.
#
#   scripts/size.sh [FILE]        FILE is an executable with symbols; without it, one is built, which takes minutes
#
# Code that the compiler makes of generic code counts for the crate that the generic code is in. "the standard library" is
# therefore mostly its collections and sorting for types of seaworthy, and serde_json and serde_core mostly the reading and
# writing of its facts.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(uname -m)-unknown-linux-musl
file=${1:-target/$target/release/seaworthy}
(($#)) || cargo rustc --quiet --release --target "$target" --bin seaworthy -- -C strip=none

echo '| section | bytes |'
echo '|---|---:|'
size -A "$file" | awk '$2 > 1000 && $1 ~ /^\./ && $1 !~ /^\.(bss|comment|debug|symtab|strtab)/ { printf "| %s | %d |\n", $1, $2 }'
echo
echo '| crate | bytes of code and constants |'
echo '|---|---:|'
# Functions that are the same have one address and several names.
nm --print-size --radix=d --demangle --defined-only "$file" | awk '
    $3 ~ /[bB]/ || $4 == "" || seen[$1]++ { next }
    {
        bytes_here = $2 + 0
        $1 = $2 = $3 = ""
        crate = /::/ ? "the standard library" : "C: aws-lc and libc"
        paths = split($0, path, /[^A-Za-z0-9_:]+/)
        for (i = 1; i <= paths; i++) {
            root = path[i]
            if (sub(/::.*/, "", root) && root != "" && root !~ /^(core|alloc|std)$/) { crate = root; break }
        }
        bytes[crate] += bytes_here
    }
    END { for (crate in bytes) if (bytes[crate] >= 10000) print bytes[crate], crate }
' | sort -rn | awk '{ bytes = $1; $1 = ""; printf "|%s | %d |\n", $0, bytes }'
