//! The name of the object: the same for the same cluster and profile, so that a new run replaces the one before.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

/// How many letters of each part are in a name, which may have 253.
const LONGEST: usize = 60;

/// A DNS subdomain (RFC 1123) that these parts alone have.
pub fn name(parts: &[&str]) -> String {
    let mut name = "seaworthy".to_owned();
    for part in parts {
        let letters = part.chars().take(LONGEST);
        let plain: String = letters
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
            .collect();
        name.push('-');
        name.push_str(plain.trim_matches('-'));
    }
    if name.ends_with('-') || name != format!("seaworthy-{}", parts.join("-")) {
        // Something was lost that may tell two clusters apart.
        name.push('-');
        for byte in &digest(&SHA256, parts.join("\n").as_bytes()).as_ref()[..4] {
            _ = write!(name, "{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_name_stays_and_others_differ() {
        assert_eq!(name(&["bed", "audit"]), "seaworthy-bed-audit");
        let others = ["kubernetes-admin@kubernetes", "kubernetes-admin/kubernetes", "Bed", "", &"x".repeat(300)];
        let names: BTreeSet<_> = others.iter().map(|cluster| name(&[cluster, "audit"])).collect();
        assert_eq!(names.len(), others.len());
        assert!(name(&["a@b", "audit"]).starts_with("seaworthy-a-b-audit-"));
    }

    proptest! {
        #[test]
        fn any_name_is_a_dns_subdomain(cluster in any::<String>(), profile in "\\PC{0,300}") {
            let name = name(&[&cluster, &profile]);
            prop_assert!(name.len() <= 253);
            let legal = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
            prop_assert!(name.chars().all(legal) && !name.ends_with('-'), "{}", name);
        }
    }
}
