//! An executable that can be the only file of an image.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::elf::{Elf, ElfError, Machine};

/// A statically linked Linux program on disk, and the architecture that runs it.
#[derive(Debug, Clone)]
pub struct Executable {
    path: PathBuf,
    architecture: Architecture,
}

impl Executable {
    /// Reads the header of the program at `path`, and rejects one that would not start in an image
    /// without libraries.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ExecutableError> {
        let path = path.into();
        let elf = File::open(&path).map_err(ElfError::Read).and_then(|file| Elf::read(&mut BufReader::new(file)));
        let elf = match elf {
            Ok(elf) => elf,
            Err(ElfError::Read(source)) => return Err(ExecutableError::Read { path, source }),
            Err(damage) => {
                return Err(ExecutableError::NotElf { path, found: damage.to_string() });
            }
        };
        if !elf.program {
            return Err(ExecutableError::NotAProgram { path });
        }
        if !elf.linux {
            return Err(ExecutableError::NotLinux { path });
        }
        let Some(known) = KNOWN.iter().find(|known| known.machine == elf.machine) else {
            return Err(ExecutableError::UnknownMachine { path, number: elf.machine.number });
        };
        if elf.interpreted {
            return Err(ExecutableError::Dynamic { path, target: known.static_target });
        }
        Ok(Self { path, architecture: known.architecture })
    }

    /// The path of the program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The architecture that runs it.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }
}

/// A processor architecture, by its name in images and on nodes, such as `amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Architecture(&'static str);

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One row of the table of the architectures of Kubernetes nodes.
struct Known {
    machine: Machine,
    architecture: Architecture,
    /// The Rust target that makes a static executable for it.
    static_target: &'static str,
}

const fn known(number: u16, wide: bool, little_endian: bool, name: &'static str, static_target: &'static str) -> Known {
    Known { machine: Machine { number, wide, little_endian }, architecture: Architecture(name), static_target }
}

/// The numbers are `e_machine` of the ELF specification.
static KNOWN: &[Known] = &[
    known(62, true, true, "amd64", "x86_64-unknown-linux-musl"),
    known(183, true, true, "arm64", "aarch64-unknown-linux-musl"),
    known(40, false, true, "arm", "armv7-unknown-linux-musleabihf"),
    known(3, false, true, "386", "i686-unknown-linux-musl"),
    known(21, true, true, "ppc64le", "powerpc64le-unknown-linux-musl"),
    known(22, true, false, "s390x", "s390x-unknown-linux-musl"),
    known(243, true, true, "riscv64", "riscv64gc-unknown-linux-musl"),
    known(258, true, true, "loong64", "loongarch64-unknown-linux-musl"),
];

/// Why a file cannot be the program of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutableError {
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a Linux executable, or only the beginning of one.
    #[error("{} is {found}: an image needs a statically linked Linux executable", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file is an object, a shared library or a core dump.
    #[error("{} is an ELF file, but not a program: an image needs a statically linked Linux executable", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
    },
    /// The file is marked for another operating system.
    #[error("{} is a program for another operating system: an image needs a statically linked Linux executable", path.display())]
    NotLinux {
        /// The file.
        path: PathBuf,
    },
    /// No architecture of Kubernetes nodes runs the file.
    #[error(
        "{} is for a processor (ELF machine {number}) that is none of {}", path.display(),
        KNOWN.iter().map(|known| known.architecture.0).collect::<Vec<_>>().join(", ")
    )]
    UnknownMachine {
        /// The file.
        path: PathBuf,
        /// `e_machine` of its header.
        number: u16,
    },
    /// The program needs shared libraries, and the image has none.
    #[error(
        "{} is dynamically linked and cannot start in an image without libraries: \
         use a static one, made by `cargo build --release --target {target}`", path.display()
    )]
    Dynamic {
        /// The file.
        path: PathBuf,
        /// The Rust target that makes a static executable for the same architecture.
        target: &'static str,
    },
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::super::elf::tests::{AMD64, ARM64, PT_LOAD, program};
    use super::*;

    /// A directory with a static program for each of two architectures.
    pub(crate) fn two_programs() -> (tempfile::TempDir, Executable, Executable) {
        let dir = tempfile::tempdir().unwrap();
        let [amd64, arm64] = [(AMD64, "amd64"), (ARM64, "arm64")].map(|(machine, name)| {
            let path = dir.path().join(name);
            fs::write(&path, program(machine, PT_LOAD, name.repeat(100).as_bytes())).unwrap();
            Executable::open(path).unwrap()
        });
        (dir, amd64, arm64)
    }

    fn refusal(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        Executable::open(file.path()).unwrap_err().to_string().replace(&file.path().display().to_string(), "FILE")
    }

    #[test]
    fn names_the_architecture() {
        let (_dir, amd64, arm64) = two_programs();
        assert_eq!(
            (amd64.architecture().to_string(), arm64.architecture().to_string()),
            ("amd64".into(), "arm64".into())
        );
    }

    #[test]
    fn the_table_has_no_row_twice() {
        for (i, a) in KNOWN.iter().enumerate() {
            for b in &KNOWN[i + 1..] {
                assert!(
                    a.machine != b.machine && a.architecture != b.architecture && a.static_target != b.static_target
                );
            }
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
    fn a_dynamic_executable_is_refused_with_the_way_to_a_static_one() {
        let this = std::env::current_exe().unwrap();
        let refused = Executable::open(&this).unwrap_err();
        assert!(matches!(refused, ExecutableError::Dynamic { .. }));
        let command = format!("`cargo build --release --target {}-unknown-linux-musl`", std::env::consts::ARCH);
        assert!(refused.to_string().contains(&command), "{refused}");
        assert!(refused.to_string().contains(&this.display().to_string()), "{refused}");
    }

    #[test]
    fn other_files_are_refused_with_what_would_be_right() {
        insta::assert_snapshot!(refusal(b"#!/bin/sh\n"), @"FILE is not an ELF file: an image needs a statically linked Linux executable");
        let mut odd = program(AMD64, PT_LOAD, b"");
        insta::assert_snapshot!(refusal(&odd[..70]), @"FILE is cut off: an image needs a statically linked Linux executable");
        odd[18] = 1;
        insta::assert_snapshot!(refusal(&odd), @"FILE is for a processor (ELF machine 1) that is none of amd64, arm64, arm, 386, ppc64le, s390x, riscv64, loong64");
        odd[7] = 9;
        insta::assert_snapshot!(refusal(&odd), @"FILE is a program for another operating system: an image needs a statically linked Linux executable");
        odd[16] = 4;
        insta::assert_snapshot!(refusal(&odd), @"FILE is an ELF file, but not a program: an image needs a statically linked Linux executable");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("missing"), dir.path().to_path_buf()] {
            let refused = Executable::open(&path).unwrap_err();
            assert!(matches!(refused, ExecutableError::Read { .. }), "{refused}");
            assert_eq!(refused.to_string(), format!("cannot read {}", path.display()));
        }
    }
}
