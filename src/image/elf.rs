//! The header of an ELF file, which determines where it runs.
//!
//! This needs four fields and one loop over the program headers, which is less code than the
//! interface of an object-file library.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8] = b"\x7fELF";
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;
const ELFOSABI_SYSV: u8 = 0;
const ELFOSABI_LINUX: u8 = 3;

/// The facts that decide whether and where an ELF file runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(super) machine: Machine,
    /// Whether the file can be started: a program, not an object, a shared library or a core.
    pub(super) program: bool,
    /// Whether the file is for Linux. Most linkers leave the field at "System V", which counts.
    pub(super) linux: bool,
    /// Whether the kernel must load a dynamic linker first.
    pub(super) interpreted: bool,
}

/// An instruction set, as ELF distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) number: u16,
    pub(super) wide: bool,
    pub(super) little_endian: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    #[error("cut off")]
    CutOff,
    #[error(transparent)]
    Read(io::Error),
}

impl From<io::Error> for ElfError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Read(error),
        }
    }
}

impl Elf {
    /// Reads only the header and the program headers of the file.
    pub(crate) fn read(file: &mut (impl Read + Seek)) -> Result<Self, ElfError> {
        let mut ident = [0; 16];
        file.read_exact(&mut ident).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ElfError::NotElf,
            _ => ElfError::Read(error),
        })?;
        let (wide, little_endian) = match (ident.starts_with(MAGIC), ident[4], ident[5]) {
            (true, class @ (1 | 2), encoding @ (1 | 2)) => (class == 2, encoding == 1),
            _ => return Err(ElfError::NotElf),
        };
        let mut fields = Fields { file, wide, little_endian };
        let kind = fields.half()?;
        let number = fields.half()?;
        let _version = fields.word()?;
        let entry = fields.address()?;
        let program_headers = fields.address()?;
        let _section_headers = fields.address()?;
        let _flags = fields.word()?;
        let _size_of_this_header = fields.half()?;
        let program_header_size = fields.half()?;
        let program_header_count = fields.half()?;

        let mut interpreted = false;
        let mut end = 0;
        for i in 0..program_header_count {
            let offset = u64::from(i) * u64::from(program_header_size);
            fields.seek(program_headers.checked_add(offset).ok_or(ElfError::CutOff)?)?;
            let segment = fields.segment()?;
            interpreted |= segment.kind == PT_INTERP;
            end = end.max(segment.end);
        }
        if file.seek(SeekFrom::End(0))? < end {
            return Err(ElfError::CutOff);
        }
        Ok(Self {
            machine: Machine { number, wide, little_endian },
            program: matches!(kind, ET_EXEC | ET_DYN) && entry != 0 && program_header_count > 0,
            linux: matches!(ident[7], ELFOSABI_SYSV | ELFOSABI_LINUX),
            interpreted,
        })
    }
}

/// A program header.
struct Segment {
    kind: u32,
    end: u64,
}

/// Reads one field after the other in the file's own width and byte order.
struct Fields<'a, F> {
    file: &'a mut F,
    wide: bool,
    little_endian: bool,
}

impl<F: Read + Seek> Fields<'_, F> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        if !self.little_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn half(&mut self) -> io::Result<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    fn word(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn address(&mut self) -> io::Result<u64> {
        if self.wide { self.bytes().map(u64::from_le_bytes) } else { self.word().map(u64::from) }
    }

    fn segment(&mut self) -> io::Result<Segment> {
        let kind = self.word()?;
        if self.wide {
            let _flags = self.word()?;
        }
        let offset = self.address()?;
        let _virtual_address = self.address()?;
        let _physical_address = self.address()?;
        let size = self.address()?;
        let end = offset.saturating_add(size);
        Ok(Segment { kind, end })
    }

    fn seek(&mut self, offset: u64) -> Result<(), ElfError> {
        // An impossible offset is a wrong header, not a failure to read.
        if i64::try_from(offset).is_err() {
            return Err(ElfError::CutOff);
        }
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// The beginning of a program as a linker writes it: the header, one program header of the kind
    /// `segment`, and `payload`.
    pub(crate) fn program(machine: Machine, segment: u32, payload: &[u8]) -> Vec<u8> {
        let Machine { number, wide, little_endian } = machine;
        let mut file = MAGIC.to_vec();
        file.extend([if wide { 2 } else { 1 }, if little_endian { 1 } else { 2 }, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut field = |value: u64, width: usize| {
            let bytes = if little_endian { value.to_le_bytes() } else { value.to_be_bytes() };
            file.extend(if little_endian { &bytes[..width] } else { &bytes[8 - width..] });
        };
        let (address, header, program_header) = if wide { (8, 64, 56) } else { (4, 52, 32) };
        for (value, width) in [
            (u64::from(ET_DYN), 2),
            (u64::from(number), 2),
            (1, 4),
            (0x1000, address),
            (header, address),
            (0, address),
            (0, 4),
            (header, 2),
            (program_header, 2),
            (1, 2),
            (0, 2),
            (0, 2),
            (0, 2),
            (u64::from(segment), 4),
        ] {
            field(value, width);
        }
        file.resize(usize::try_from(header + program_header).unwrap(), 0);
        file.extend(payload);
        file
    }

    pub(crate) const AMD64: Machine = Machine { number: 62, wide: true, little_endian: true };
    pub(crate) const ARM64: Machine = Machine { number: 183, wide: true, little_endian: true };
    const ARM: Machine = Machine { number: 40, wide: false, little_endian: true };
    const S390X: Machine = Machine { number: 22, wide: true, little_endian: false };
    pub(crate) const PT_LOAD: u32 = 1;

    fn read(bytes: &[u8]) -> Result<Elf, ElfError> {
        Elf::read(&mut Cursor::new(bytes))
    }

    #[test]
    fn reads_every_width_and_byte_order() {
        for machine in [AMD64, ARM64, ARM, S390X] {
            let expected = Elf { machine, program: true, linux: true, interpreted: false };
            assert_eq!(read(&program(machine, PT_LOAD, b"")).unwrap(), expected);
            assert_eq!(read(&program(machine, PT_INTERP, b"")).unwrap(), Elf { interpreted: true, ..expected });
        }
    }

    #[test]
    fn distinguishes_programs_from_other_files() {
        let mut object = program(AMD64, PT_LOAD, b"");
        object[16] = 1;
        assert!(!read(&object).unwrap().program);
        let mut library = program(AMD64, PT_LOAD, b"");
        library[24..32].fill(0);
        assert!(!read(&library).unwrap().program);
    }

    #[test]
    fn names_other_systems() {
        let mut freebsd = program(AMD64, PT_LOAD, b"");
        freebsd[7] = 9;
        assert!(!read(&freebsd).unwrap().linux);
    }

    #[test]
    fn a_script_or_nothing_is_not_elf() {
        for bytes in [b"".as_slice(), b"#!/bin/sh\necho no\n", b"\x7fELF", b"\x7fELF\x07\x07\x01_________"] {
            assert!(matches!(read(bytes), Err(ElfError::NotElf)), "{bytes:?}");
        }
    }

    #[test]
    fn a_cut_off_file_is_called_so() {
        let whole = program(AMD64, PT_LOAD, b"");
        for length in [20, 63, 65, 100] {
            assert!(matches!(read(&whole[..length]), Err(ElfError::CutOff)), "{length}");
        }
    }

    #[test]
    fn a_file_shorter_than_its_segments_is_cut_off() {
        let mut file = program(AMD64, PT_LOAD, &[0; 8]);
        file[64 + 32] = 128;
        assert!(read(&file).is_ok());
        file[64 + 32] = 129;
        assert!(matches!(read(&file), Err(ElfError::CutOff)));
    }

    #[test]
    fn program_headers_beyond_any_file_are_refused() {
        let mut file = program(AMD64, PT_LOAD, b"");
        for offset in [u64::MAX, u64::MAX / 2, 1 << 40] {
            file[32..40].copy_from_slice(&offset.to_le_bytes());
            assert!(matches!(read(&file), Err(ElfError::CutOff)), "{offset}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_bytes_after_the_magic_are_read_without_panic(
            class in 1..=2u8, encoding in 1..=2u8, rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = read(&[MAGIC, &[class, encoding], &rest].concat());
        }

        #[test]
        fn a_damaged_program_is_read_without_panic(at in 4..120usize, byte in any::<u8>(), wide: bool, little_endian: bool) {
            let mut file = program(Machine { number: 62, wide, little_endian }, PT_LOAD, &[0; 64]);
            file[at] = byte;
            let _ = read(&file);
        }
    }
}
