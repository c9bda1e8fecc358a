//! The provider of paid steps: it counts.

use std::collections::BTreeMap;

use crate::dice::mix;

/// What the world outside has seen: calls that had an effect, by job and step.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    pub(crate) effects: BTreeMap<(u32, u32), usize>,
    known: BTreeMap<u64, u64>,
    pub(crate) doubts: BTreeMap<(u32, u32), usize>,
}

impl Shop {
    /// A paid call. The result depends on the order alone.
    pub(crate) fn call(&mut self, label: u32, key: u32, token: Option<u64>) -> u64 {
        if let Some(known) = token.and_then(|token| self.known.get(&token)) {
            return *known;
        }
        *self.effects.entry((label, key)).or_default() += 1;
        let result = mix(u64::from(label), u64::from(key));
        if let Some(token) = token {
            self.known.insert(token, result);
        }
        result
    }
}
