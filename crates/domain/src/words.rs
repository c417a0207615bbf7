//! How numbers are written for people, the same in chat and on the command line.

/// A time span in its two greatest units, the rest cut off: `1 d 23 h`, `4 h`, `1 min 30 s`. Never more than is left.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0 s".to_owned();
    };
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in UNITS.into_iter().skip(first).take(2) {
        if left >= size {
            parts.push(format!("{} {unit}", left / size));
        }
        left %= size;
    }
    parts.join(" ")
}

/// `1 repository`, `3 repositories`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_and_counts_their_plural() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (90, "1 min 30 s"),
            (45 * 60, "45 min"),
            (3_599, "59 min 59 s"),
            (4 * 3_600, "4 h"),
            (4 * 3_600 + 59, "4 h"),
            (47 * 3_600 + 3_599, "1 d 23 h"),
            (10_080 * 60, "7 d"),
        ] {
            assert_eq!(span(seconds), words, "{seconds}");
        }
        let repositories = |number| counted(number, "repository", "repositories");
        assert_eq!([0, 1, 2].map(repositories), ["0 repositories", "1 repository", "2 repositories"]);
    }
}
