//! Vectors without a model: words and their trigrams are hashed into a few
//! hundred places. Texts with the same words are near one another; what words
//! mean is not known here. Never to be mixed with vectors of a model.

use ring::digest::{SHA256, digest};

/// How long the vectors are.
pub(crate) const DIMENSIONS: usize = 384;
/// What words weigh beside each of their trigrams.
const WORD: f32 = 3.0;

/// The vector of a text, of length one; all zero for a text without words.
pub(crate) fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    let lower = text.to_lowercase();
    for word in lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
    {
        add(&mut vector, word, WORD);
        let framed: Vec<char> = format!("^{word}$").chars().collect();
        for trigram in framed.windows(3) {
            add(&mut vector, &trigram.iter().collect::<String>(), 1.0);
        }
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in &mut vector {
            *x /= length;
        }
    }
    vector
}

fn add(vector: &mut [f32], feature: &str, weight: f32) {
    let hash = digest(&SHA256, feature.as_bytes());
    let [a, b, sign, ..] = hash.as_ref() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes([*a, *b])) % DIMENSIONS;
    if let Some(place) = vector.get_mut(at) {
        *place += if sign % 2 == 0 { weight } else { -weight };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &str, b: &str) -> f32 {
        embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_with_the_same_words_are_near() {
        let text = "the cat sat on the mat";
        assert!((near(text, text) - 1.0).abs() < 1e-5);
        assert!(near(text, "a cat on a mat") > near(text, "quarterly revenue figures") + 0.3);
        assert!(embed("").iter().all(|x| *x == 0.0));
    }
}
