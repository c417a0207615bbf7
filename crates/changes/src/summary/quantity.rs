//! Kubernetes quantities (`500m`, `2Gi`) as numbers, to say which of two is larger.

/// The number that a quantity means; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = digits.parse().ok()?;
    (digits.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) && number.is_finite()).then_some(number * factor)
}

/// How the new quantity stands to the old one; `None` where one is no quantity.
pub(super) fn compare(old: &str, new: &str) -> Option<std::cmp::Ordering> {
    parse(new)?.partial_cmp(&parse(old)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn quantities_compare_across_units() {
        for (old, new, expected) in [
            ("500m", "1", Some(Ordering::Greater)),
            ("1Gi", "1024Mi", Some(Ordering::Equal)),
            ("1Gi", "1G", Some(Ordering::Less)),
            ("10Gi", "2Ti", Some(Ordering::Greater)),
            ("1e3", "1k", Some(Ordering::Equal)),
            ("inf", "1", None),
            ("", "1", None),
            ("big", "1", None),
        ] {
            assert_eq!(compare(old, new), expected, "{old} {new}");
        }
    }
}
