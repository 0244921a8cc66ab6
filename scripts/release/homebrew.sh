#!/usr/bin/env bash
# Writes the formula for a tap of Homebrew: $DIST/seaworthy.rb. It builds from the source of the release.
source "$(dirname "$0")/common.bash"

source=seaworthy-$VERSION-source.tar.gz
cat >"$DIST/seaworthy.rb" <<END
class Seaworthy < Formula
  desc "Conformance and cluster-audit tests for Kubernetes"
  homepage "$(repository)"
  url "$(download "$source")"
  version "$VERSION"
  sha256 "$(digest "$source")"
  license "Apache-2.0"

  depends_on "cmake" => :build
  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"seaworthy", "completion", shells: [:bash, :zsh, :fish])
  end

  test do
    assert_match "apiserver-names", shell_output("#{bin}/seaworthy list PK-02")
  end
end
END
