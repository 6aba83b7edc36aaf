//! Text in columns, for people.

/// Rows under headers; a column whose header begins with `>` is set to the right.
///
/// The last column is never padded, so lines have no spaces at their ends.
pub(crate) fn aligned(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|h| width(h.trim_start_matches('>'))).collect();
    for row in rows {
        for (cell, w) in row.iter().zip(&mut widths) {
            *w = (*w).max(width(cell));
        }
    }
    let right: Vec<bool> = headers.iter().map(|h| h.starts_with('>')).collect();
    let titles: Vec<String> =
        headers.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
    let mut out = String::new();
    if titles.iter().any(|t| !t.is_empty()) {
        line(&mut out, &titles, &widths, &right);
    }
    for row in rows {
        line(&mut out, row, &widths, &right);
    }
    out
}

fn line(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let mut text = String::new();
    for ((cell, w), right) in cells.iter().zip(widths).zip(right) {
        if !text.is_empty() {
            text.push_str("  ");
        }
        let space = " ".repeat(w.saturating_sub(width(cell)));
        if *right {
            text.push_str(&space);
            text.push_str(cell);
        } else {
            text.push_str(cell);
            text.push_str(&space);
        }
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Characters; wide ones count as one, which names and numbers do not have.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text with every line after the first set in by so many spaces.
pub(crate) fn hanging(text: &str, by: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_spaces_at_their_ends() {
        let rows = vec![
            vec!["a".into(), "10".into(), "x".into()],
            vec!["long".into(), "7".into(), String::new()],
        ];
        assert_eq!(
            aligned(&["part", ">in", "why"], &rows),
            "part  in  why\na     10  x\nlong   7\n"
        );
    }
}
