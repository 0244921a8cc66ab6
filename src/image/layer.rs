//! The one layer of an image: a compressed tar with the executable at `/seaworthy`, and a bill of materials if there is one.

use std::fs::File;
use std::io::{self, Read};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::bill::{BILL, BillOfMaterials};
use super::digest::{Digest, Hashing};
use super::executable::Executable;

/// The name of the executable in the root of the image.
pub(super) const PROGRAM: &str = "seaworthy";

/// A layer as it is stored and uploaded. Only this compressed form is ever held in memory.
pub(super) struct Layer {
    pub(super) compressed: Vec<u8>,
    pub(super) digest: Digest,
    /// The digest of the uncompressed tar, by which runtimes identify the layer.
    pub(super) diff_id: Digest,
}

impl Layer {
    pub(super) fn of(executable: &Executable, bill: Option<&BillOfMaterials>) -> io::Result<Self> {
        let file = File::open(executable.path())?;
        let size = file.metadata()?.len();
        let mut contents = file.take(size);

        let compressed = GzEncoder::new(Hashing::new(Vec::new()), Compression::default());
        let mut tar = tar::Builder::new(Hashing::new(compressed));
        tar.append_data(&mut plain_file(size, 0o755), PROGRAM, &mut contents)?;
        // The tar states the size before the contents: if the file has shrunk, the rest of the tar
        // would be misread.
        if contents.limit() > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        if let Some(bill) = bill {
            let bytes = bill.bytes();
            tar.append_data(&mut plain_file(bytes.len() as u64, 0o644), BILL, bytes)?;
        }
        let (compressed, diff_id) = tar.into_inner()?.finish();
        let (compressed, digest) = compressed.finish()?.finish();
        Ok(Self { compressed, digest, diff_id })
    }
}

/// The tar header of a regular file, without owner and time.
pub(super) fn plain_file(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::read::GzDecoder;

    use super::super::bill::tests::bill;
    use super::super::executable::tests::two_programs;
    use super::*;

    #[test]
    fn holds_the_executable_and_nothing_else() {
        let (_dir, amd64, _) = two_programs();
        let layer = Layer::of(&amd64, None).unwrap();
        let mut plain = Vec::new();
        GzDecoder::new(layer.compressed.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(layer.digest, Digest::of(&layer.compressed));
        assert_eq!(layer.diff_id, Digest::of(&plain));

        let mut tar = tar::Archive::new(plain.as_slice());
        let mut entries = tar.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let header = entry.header();
        assert_eq!(entry.path().unwrap().to_str(), Some("seaworthy"));
        assert_eq!(header.entry_type(), tar::EntryType::Regular);
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o755, 0));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        assert_eq!(contents, fs::read(amd64.path()).unwrap());
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_bill_of_materials_is_beside_the_executable() {
        let (_dir, amd64, _) = two_programs();
        let layer = Layer::of(&amd64, Some(&bill())).unwrap();
        let mut tar = tar::Archive::new(GzDecoder::new(layer.compressed.as_slice()));
        let files: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut contents = Vec::new();
                entry.read_to_end(&mut contents).unwrap();
                let name = entry.path().unwrap().to_str().unwrap().to_owned();
                (name, entry.header().mode().unwrap(), contents)
            })
            .collect();
        let program = fs::read(amd64.path()).unwrap();
        let expected = [
            ("seaworthy".to_owned(), 0o755, program),
            ("seaworthy.cdx.json".to_owned(), 0o644, bill().bytes().to_vec()),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn the_same_executable_makes_the_same_layer() {
        let (dir, amd64, arm64) = two_programs();
        let copy = dir.path().join("copy");
        fs::copy(amd64.path(), &copy).unwrap();
        let layer = Layer::of(&amd64, None).unwrap();
        assert_eq!(layer.compressed, Layer::of(&Executable::open(copy).unwrap(), None).unwrap().compressed);
        assert_ne!(layer.digest, Layer::of(&arm64, None).unwrap().digest);
    }
}
