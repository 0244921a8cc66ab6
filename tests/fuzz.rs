//! A smoke run of the fuzz targets without a fuzzer: seeds, and what becomes of them when bytes are changed at random.
//!
//! It runs everywhere, on the stable toolchain, and takes ten seconds; `cargo fuzz run TARGET` in `fuzz/` runs the same
//! targets guided by coverage, for as long as you like. A run that fails prints the bytes that made it fail.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::read::GzDecoder;
use seaworthy::fuzzing::TARGETS;
use seaworthy::probe::host::HostAnswers;
use seaworthy::probe::{Answers, message};

/// How long each target runs.
const SPELL: Duration = Duration::from_millis(500);
/// How a seed is called that its target understands.
const VALID: &str = "valid";
/// How many recordings are seeds: the smallest ones.
const RECORDINGS: usize = 12;

/// A generator of numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or_default()
    }
}

struct Seed {
    name: String,
    bytes: Vec<u8>,
}

impl Seed {
    fn valid(bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: VALID.into(), bytes: bytes.into() }
    }

    fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, bytes: fs::read(path).expect("a seed can be read") }
    }
}

/// Files of formats that others define are in `fuzz/corpus`. Seeds of our own formats are made, so that none is outdated, and
/// written to `target/tmp/seeds` for the fuzzer.
fn seeds(target: &str) -> Vec<Seed> {
    match target {
        "answers" => vec![Seed::valid(packed(&Answers::default()))],
        "host_answers" => vec![Seed::valid(packed(&HostAnswers::default()))],
        "events" => vec![Seed::valid(Seed::read(&package("reports/sample.events.jsonl")).bytes)],
        "recording" | "judge" => recordings(),
        _ => files(&package("fuzz/corpus").join(target)).iter().map(|path| Seed::read(path)).collect(),
    }
}

fn packed(answers: &impl serde::Serialize) -> String {
    message::pack_within(answers, message::MESSAGE_LIMIT).expect("an empty message fits")
}

fn recordings() -> Vec<Seed> {
    let mut files = files(&package("fixtures/faults"));
    files.sort_by_key(|path| fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len()));
    files.truncate(RECORDINGS);
    let unpacked = |path: &PathBuf| {
        let mut bytes = Vec::new();
        GzDecoder::new(&*Seed::read(path).bytes).read_to_end(&mut bytes).expect("a recording is compressed");
        Seed::valid(bytes)
    };
    files.iter().map(unpacked).collect()
}

fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.sort();
    files
}

fn keep(target: &str, seeds: &[Seed]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("the folder for tests' files can be written");
    for (i, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("{}-{i}", seed.name)), &seed.bytes).expect("a seed can be written");
    }
}

fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1).min(bytes.len().saturating_sub(1));
        let byte = u8::try_from(numbers.below(256)).unwrap_or_default();
        match numbers.below(6) {
            _ if bytes.is_empty() => bytes.push(byte),
            0 => bytes[at] = byte,
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes.insert(at, byte),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                let part = bytes[at..(at + numbers.below(32)).min(bytes.len())].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

#[test]
fn foreign_bytes_make_no_parser_panic() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.iter().any(|seed| seed.name.starts_with(VALID)), "{name}: no seed is valid");
        keep(name, &seeds);
        let mut numbers = Numbers(0x5ea0_0007);
        let began = Instant::now();
        let mut round = 0;
        while began.elapsed() < SPELL || round < 2 * seeds.len() {
            let seed = &seeds[round % seeds.len()];
            let bytes = if round < seeds.len() { seed.bytes.clone() } else { changed(&seed.bytes, &mut numbers) };
            let Ok(understood) = catch_unwind(|| target(&bytes)) else {
                panic!("{name} fails on {}", BASE64_STANDARD.encode(&bytes));
            };
            let is_valid = seed.name.starts_with(VALID);
            assert!(
                round >= seeds.len() || understood == is_valid,
                "{name}: {} is understood: {understood}",
                seed.name
            );
            round += 1;
        }
    }
}

#[test]
fn every_target_can_be_run_by_a_fuzzer() {
    let names: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    assert_eq!(files(&package("fuzz/fuzz_targets")).iter().map(stem).collect::<BTreeSet<_>>(), names);
    let manifest = fs::read_to_string(package("fuzz/Cargo.toml")).expect("the package of targets has a manifest");
    let declared =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));
    assert_eq!(declared.map(str::to_owned).collect::<BTreeSet<_>>(), names);
    let corpora: BTreeSet<_> = files(&package("fuzz/corpus")).iter().map(stem).collect();
    assert!(corpora.is_subset(&names), "{corpora:?}");
}
