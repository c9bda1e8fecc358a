//! The closest known name to a wrong one, as `PostgREST` finds it: candidates
//! are ranked by the cosine of their letter triples (pairs, when no triple
//! leads anywhere), the best are ranked again by edit distance.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

/// Candidates whose edit distance is measured.
const CANDIDATES_MAX: usize = 50;

/// Names and their similarity to `wanted`, from 0 to 1, best first, at least
/// `similarity_min`. A name equal up to case is the only result.
pub(super) fn closest<'a>(
    names: impl Iterator<Item = &'a str>,
    wanted: &str,
    similarity_min: f64,
) -> Vec<(f64, &'a str)> {
    let wanted = wanted.to_lowercase();
    // Sorted, so that ties are always decided alike.
    let names: BTreeSet<&str> = names.collect();
    let names: Vec<_> = names
        .into_iter()
        .map(|name| (name, name.to_lowercase()))
        .collect();
    if let Some((name, _)) = names.iter().find(|(_, lower)| *lower == wanted) {
        return vec![(1.0, name)];
    }
    for size in [3, 2] {
        let found = closest_by_grams(&names, &wanted, size, similarity_min);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn closest_by_grams<'a>(
    names: &[(&'a str, String)],
    wanted: &str,
    size: usize,
    similarity_min: f64,
) -> Vec<(f64, &'a str)> {
    let wanted_grams = grams(wanted, size);
    let mut candidates: Vec<_> = names
        .iter()
        .filter_map(|(name, lower)| {
            let cosine = cosine(&wanted_grams, &grams(lower, size));
            (cosine > 0.0).then_some((cosine, *name, lower))
        })
        .collect();
    candidates.sort_by(|a, b| descending(a.0, b.0));
    let mut found: Vec<_> = candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .map(|(_, name, lower)| (similarity(wanted, lower), name))
        .filter(|(similarity, _)| *similarity >= similarity_min)
        .collect();
    found.sort_by(|a, b| descending(a.0, b.0));
    found
}

fn descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// How often each run of `size` letters occurs, the ends marked by hyphens.
fn grams(lower: &str, size: usize) -> HashMap<Vec<char>, f64> {
    let letters = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || c.is_whitespace() || *c == ',');
    let marked: Vec<char> = std::iter::once('-').chain(letters).chain(['-']).collect();
    let mut counts = HashMap::new();
    for gram in marked.windows(size) {
        *counts.entry(gram.to_vec()).or_insert(0.0) += 1.0;
    }
    counts
}

fn cosine(a: &HashMap<Vec<char>, f64>, b: &HashMap<Vec<char>, f64>) -> f64 {
    let dot: f64 = a
        .iter()
        .filter_map(|(gram, n)| Some(n * b.get(gram)?))
        .sum();
    let norm = |counts: &HashMap<_, f64>| counts.values().map(|n| n * n).sum::<f64>().sqrt();
    if dot > 0.0 {
        dot / (norm(a) * norm(b))
    } else {
        0.0
    }
}

/// 1 minus the edit distance in parts of the longer text.
fn similarity(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let longest = u32::try_from(a.len().max(b.len())).unwrap_or(u32::MAX);
    if longest == 0 {
        return 1.0;
    }
    let distance = u32::try_from(distance(&a, &b)).unwrap_or(u32::MAX);
    1.0 - f64::from(distance) / f64::from(longest)
}

/// The Levenshtein distance, one row of the matrix at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let above = *cell;
            let changed = diagonal + usize::from(x != y);
            left = changed.min(above + 1).min(left + 1);
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let of = |a, b| distance(&chars(a), &chars(b));
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", "abc"), 0);
    }

    #[test]
    fn the_nearest_name_above_the_threshold_wins() {
        let names = ["projects", "project_invoices", "clients"];
        let first = |wanted, min| {
            let found = closest(names.into_iter(), wanted, min);
            found.first().map(|(_, name)| *name)
        };
        assert_eq!(first("projecxx", 0.75), Some("projects"));
        assert_eq!(first("Clients", 0.75), Some("clients"));
        assert_eq!(first("factories", 0.75), None);
    }
}
