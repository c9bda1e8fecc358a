//! The setting that somebody probably meant.

use super::all::KEYS;

/// The known name most like `name`, when one is close enough to be meant.
#[must_use]
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let bare = name.rsplit('.').next().unwrap_or(name);
    KEYS.iter()
        .map(|key| {
            let tail = key.path.rsplit('.').next().unwrap_or(key.path);
            (
                distance(name, key.path).min(distance(bare, tail) + 1),
                key.path,
            )
        })
        .min()
        // A third of the letters may be wrong; beyond that a guess misleads.
        .filter(|(wrong, path)| *wrong * 3 <= path.len())
        .map(|(_, path)| path)
}

/// Letters to insert, delete or replace to turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for ((b, pair), left_of) in to.iter().zip(row.windows(2)).zip(0_usize..) {
            let (diagonal, above) = (
                pair.first().copied().unwrap_or(0),
                pair.last().copied().unwrap_or(0),
            );
            let left = next.get(left_of).copied().unwrap_or(0);
            next.push(
                (diagonal + usize::from(a != *b))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        assert_eq!(nearest("api.prot"), Some("api.port"));
        assert_eq!(nearest("auth.jwt_secrt"), Some("auth.jwt_secret"));
        assert_eq!(nearest("max_rows"), Some("db.max_rows"));
        assert_eq!(nearest("zzzzzz.qqqqqq"), None);
    }
}
