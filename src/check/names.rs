//! Many names in one line.

use std::fmt::Display;

/// How many names are written out.
const WRITTEN_OUT: usize = 10;

/// The names with commas between them; beyond the tenth only how many more there are.
pub fn names<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let mut all = all.into_iter();
    let written: Vec<String> = all.by_ref().take(WRITTEN_OUT).map(|name| name.to_string()).collect();
    match all.count() {
        0 => written.join(", "),
        more => format!("{} and {more} more", written.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(names(["n1"]), "n1");
        assert_eq!(names(["n1", "n2"]), "n1, n2");
        assert_eq!(names((1..=5000).map(|i| format!("n{i}"))), "n1, n2, n3, n4, n5, n6, n7, n8, n9, n10 and 4990 more");
        assert_eq!(names::<&str>([]), "");
    }
}
