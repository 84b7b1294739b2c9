//! "Did you mean": the known word that is nearest to an unknown one.

/// Longer words are not compared; nobody mistypes them by two letters.
const COMPARED_MAX: usize = 64;

/// How a text is quoted in messages: cut where it is long.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(COMPARED_MAX) {
        Some((cut, _)) => format!("`{}…`", &text[..cut]),
        None => format!("`{text}`"),
    }
}

/// Help for someone who wrote `word`: the known word that is meant, or else all of them under the name `what`.
pub(super) fn help(word: &str, what: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("{what}: {}", known.join(", ")),
    }
}

/// The nearest of `known`, where one is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = word.chars().count();
    if length > COMPARED_MAX {
        return None;
    }
    let allowed = match length {
        0..=3 => 1,
        4..=6 => 2,
        longer => longer / 3,
    };
    let near =
        known.into_iter().map(|known| (distance(word, known), known)).filter(|(far, _)| *far <= allowed);
    near.min_by_key(|(far, _)| *far).map(|(_, known)| known)
}

/// Letters to insert, delete, replace, or swap with their neighbour to turn `a` into `b`; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["ro", "rw", "nosuid", "nodev", "noexec", "propagation"];
        for (typed, meant) in [
            ("nosiud", Some("nosuid")),
            ("NOSUID", Some("nosuid")),
            ("nodve", Some("nodev")),
            ("propagaton", Some("propagation")),
            ("r", Some("ro")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest(&"n".repeat(100_000), known), None);
    }

    #[test]
    fn distances_count_edits_and_swaps() {
        for (a, b, far) in
            [("", "", 0), ("", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3), ("A", "a", 0)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
            assert_eq!(distance(b, a), far, "{b} {a}");
        }
    }
}
