//! Text for terminals: numbers in few characters, and rows in aligned columns.

/// A duration in at most six characters and three digits: `850ns`, `12.3us`, `4.56ms`, `1.20s`; `-` without
/// data.
pub fn short(ns: u64, count: u64) -> String {
    if count == 0 {
        return "-".to_owned();
    }
    let (scale, unit) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..999_500 => (1e3, "us"),
        999_500..999_500_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    #[expect(clippy::cast_precision_loss, reason = "printed to three digits")]
    let value = ns as f64 / scale;
    // The bounds are where rounding would give a fourth digit.
    if value < 9.995 {
        format!("{value:.2}{unit}")
    } else if value < 99.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// Rows as lines: the first column to the left, the others to the right, two spaces between them.
pub fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> = (0..columns)
        .map(|column| cells(column).map(|c| c.chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            match column {
                0 => line.extend([cell.as_str(), &padding]),
                _ => line.extend(["  ", &padding, cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

/// The first `width` characters; the last one says if something was left out.
pub fn fit(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_digits_and_at_most_six_characters() {
        for (ns, want) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (9_994, "9.99us"),
            (9_995, "10.0us"),
            (99_950, "100us"),
            (999_499, "999us"),
            (999_500, "1.00ms"),
            (61_234_567, "61.2ms"),
            (999_499_999, "999ms"),
            (999_500_000, "1.00s"),
            (60_000_000_000, "60.0s"),
        ] {
            assert_eq!(short(ns, 1), want);
        }
        assert_eq!(short(0, 0), "-");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".into(), "10".into()],
            vec!["bcd".into(), "7".into()],
        ];
        assert_eq!(align(&rows), ["a    10", "bcd   7"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_at_a_character() {
        assert_eq!(fit("größer", 4), "grö…");
        assert_eq!(fit("größer", 6), "größer");
    }
}
