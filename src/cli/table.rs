//! Columns of text, aligned.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

/// Aligns rows below a heading, as kubectl does. The last column is cut to the `width`, if there is one.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]], width: Option<usize>) -> String {
    let mut widths = heading.map(UnicodeWidthStr::width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = if i + 1 == N { 0 } else { width - cell.width() + 3 };
            _ = write!(line, "{cell}{:pad$}", "");
        }
        text.push_str(&cut(line.trim_end(), width));
        text.push('\n');
    }
    text
}

/// The width of these columns, with the space after each.
pub fn width<'a>(heading: &[&str], rows: impl Iterator<Item = &'a [String]>) -> usize {
    let mut widths: Vec<usize> = heading.iter().map(|word| word.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    widths.iter().map(|width| width + 3).sum()
}

fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.width() > width => {
            let mut short = String::new();
            for c in line.chars() {
                if short.width() + 2 > width {
                    break;
                }
                short.push(c);
            }
            format!("{}…", short.trim_end())
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["PK-02".to_owned(), "a title".into()], ["X".into(), "b".into()]];
        assert_eq!(table(["ID", "TITLE"], &rows, None), "ID      TITLE\nPK-02   a title\nX       b\n");
        assert_eq!(table(["ID", "TITLE"], &rows, Some(10)), "ID      T…\nPK-02   a…\nX       b\n");
    }
}
