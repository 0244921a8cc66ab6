#!/usr/bin/env bash
# Writes the manifest by which `kubectl krew install` finds the archives: $DIST/seaworthy.yaml.
source "$(dirname "$0")/common.bash"

{
    cat <<END
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: seaworthy
spec:
  version: v$VERSION
  homepage: $(repository)
  shortDescription: Audit a cluster by its behaviour
  description: |
    Asks API servers, kubelets and DNS servers what they really do, runs probe
    pods if it may, and reports what is wrong, what was expected, what was seen
    and how to fix it. Writes JUnit, JSON and an event stream.
  caveats: |
    The default profile, audit, creates nothing in the cluster. See
    "kubectl seaworthy rbac" for the permissions that it needs.
  platforms:
END
    for target in "${TARGETS[@]}"; do
        cat <<END
    - selector:
        matchLabels:
          os: linux
          arch: $(architecture "$target")
      uri: $(download "$(archive "$target")")
      sha256: $(digest "$(archive "$target")")
      bin: seaworthy
      files:
        - {from: seaworthy, to: .}
        - {from: LICENSE, to: .}
END
    done
} >"$DIST/seaworthy.yaml"
