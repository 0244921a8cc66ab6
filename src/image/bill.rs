//! The bill of materials that an image may contain: what its executables are made of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

/// The name of the bill in the root of the image. Scanners recognise it by its ending.
pub(super) const BILL: &str = "seaworthy.cdx.json";

/// A bill of materials in the JSON of CycloneDX.
#[derive(Debug, Clone)]
pub struct BillOfMaterials(Bytes);

impl BillOfMaterials {
    /// Reads the file at `path`, and rejects one that no scanner would recognise.
    pub fn read(path: &Path) -> Result<Self, BillError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Format {
            bom_format: String,
        }
        let bytes = fs::read(path).map_err(|source| BillError::Read { path: path.into(), source })?;
        match serde_json::from_slice(&bytes) {
            Ok(Format { bom_format }) if bom_format == "CycloneDX" => Ok(Self(bytes.into())),
            Ok(Format { bom_format }) => {
                Err(BillError::NotCycloneDx { path: path.into(), found: format!("its bomFormat is {bom_format:?}") })
            }
            Err(error) => Err(BillError::NotCycloneDx { path: path.into(), found: error.to_string() }),
        }
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a file cannot be the bill of materials of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BillError {
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a bill of materials in the JSON of CycloneDX: {found}", path.display())]
    NotCycloneDx {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A bill without components.
    pub(in super::super) fn bill() -> BillOfMaterials {
        BillOfMaterials(Bytes::from_static(br#"{"bomFormat": "CycloneDX"}"#))
    }

    #[test]
    fn what_no_scanner_would_recognise_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bill");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            BillOfMaterials::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
        };
        let refused = "FILE is not a bill of materials in the JSON of CycloneDX: ";
        assert_eq!(read(r#"{"bomFormat": "CycloneDX"}"#).unwrap().bytes(), bill().bytes());
        assert_eq!(read(r#"{"bomFormat": "SPDX"}"#).unwrap_err(), format!("{refused}its bomFormat is \"SPDX\""));
        for other in ["", "{}", "<bom/>"] {
            assert!(read(other).unwrap_err().starts_with(refused), "{other}");
        }
        let missing = BillOfMaterials::read(&dir.path().join("missing")).unwrap_err();
        assert!(matches!(missing, BillError::Read { .. }), "{missing}");
    }
}
