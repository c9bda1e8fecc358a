//! What is known of models, as data: limits, abilities and prices.
//!
//! [`Book`] is read from a file that comes with the binary, under rows of a
//! file that the operator names. Prices are dated and tiered. An unknown price
//! is `None` everywhere and never zero: whoever must count something counts
//! [`ASSUMED`].

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use crate::usage::Usage;

/// The rows that come with the binary.
const BUNDLED: &str = include_str!("../data/models.toml");
/// A file longer than this is no list of models.
const FILE_BYTES_MAX: usize = 4 << 20;
/// What budgets count where nobody knows the price: as much as large models
/// cost, so that an unknown one cannot empty a purse unseen.
pub const ASSUMED: Price = Price {
    input: 5.0,
    output: 25.0,
    cache_read: None,
    cache_write: None,
    cache_write_1h: None,
};
const MILLION: f64 = 1_000_000.0;

/// All that is known, by `vendor/model`.
#[derive(Clone, Debug, Default)]
pub struct Book {
    exact: BTreeMap<String, Model>,
    /// Rows that end in `*`, without it, the longest first.
    prefixes: Vec<(String, Model)>,
}

/// What is known of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// How many tokens fit, input and output together.
    pub context: Option<u64>,
    /// The most output tokens.
    pub output: Option<u64>,
    /// What it can; `None` where nobody said.
    pub can: Option<Vec<Ability>>,
    prices: Vec<Dated>,
}

/// Something that not every model can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Call tools.
    Tools,
    /// See pictures.
    Vision,
    /// Keep to a JSON Schema.
    Schema,
    /// Think before it answers.
    Reasoning,
    /// Make vectors of texts, and nothing else.
    Embed,
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of plain input.
    pub input: f64,
    /// Of output, with reasoning.
    pub output: f64,
    /// Of input read from the provider's cache; as plain input if not said.
    pub cache_read: Option<f64>,
    /// Of input written to it.
    pub cache_write: Option<f64>,
    /// Of input written to it for an hour.
    pub cache_write_1h: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Dated {
    from: Date,
    above: u64,
    price: Price,
}

/// Why a file of models cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BookError {
    /// It is none.
    #[error("the file of models cannot be read: {0}")]
    Syntax(String),
    /// A row means nothing.
    #[error("model `{name}`: {reason}")]
    Row {
        /// Which.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    context: Option<u64>,
    output: Option<u64>,
    can: Option<Vec<Ability>>,
    #[serde(default)]
    price: Vec<PriceRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceRow {
    from: String,
    #[serde(default)]
    above: u64,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
}

impl Book {
    /// What comes with the binary, under the rows of the operator's file.
    pub fn read(own: Option<&str>) -> Result<Self, BookError> {
        let mut book = Self::default();
        book.lay(BUNDLED)?;
        if let Some(text) = own {
            book.lay(text)?;
        }
        let longest_first = |a: &(String, Model), b: &(String, Model)| b.0.len().cmp(&a.0.len());
        book.prefixes.sort_by(longest_first);
        Ok(book)
    }

    fn lay(&mut self, text: &str) -> Result<(), BookError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(BookError::Syntax("it is longer than 4 MiB".to_owned()));
        }
        let file: File =
            toml::from_str(text).map_err(|error| BookError::Syntax(error.message().to_owned()))?;
        for row in file.model {
            let (name, model) = checked(row)?;
            match name.strip_suffix('*') {
                Some(prefix) => {
                    self.prefixes.retain(|(known, _)| known != prefix);
                    self.prefixes.push((prefix.to_owned(), model));
                }
                None => {
                    self.exact.insert(name, model);
                }
            }
        }
        Ok(())
    }

    /// What is known of `vendor/model`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.exact.get(name).or_else(|| {
            let found = self.prefixes.iter().find(|(p, _)| name.starts_with(p));
            found.map(|(_, model)| model)
        })
    }

    /// The models of a vendor that have a row of their own.
    pub fn of_vendor<'a>(&'a self, vendor: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let names = self.exact.keys();
        names.filter_map(move |name| name.strip_prefix(vendor)?.strip_prefix('/'))
    }
}

fn checked(row: Row) -> Result<(String, Model), BookError> {
    let refused = |reason| BookError::Row {
        name: row.name.clone(),
        reason,
    };
    if !row.name.contains('/') {
        return Err(refused("its name is `vendor/model`"));
    }
    let mut prices = Vec::with_capacity(row.price.len());
    for price in &row.price {
        let amounts = [
            Some(price.input),
            Some(price.output),
            price.cache_read,
            price.cache_write,
            price.cache_write_1h,
        ];
        if amounts.iter().flatten().any(|a| !a.is_finite() || *a < 0.0) {
            return Err(refused("a price is a number that is not negative"));
        }
        prices.push(Dated {
            from: price
                .from
                .parse()
                .map_err(|_| refused("`from` is a day such as 2026-01-31"))?,
            above: price.above,
            price: Price {
                input: price.input,
                output: price.output,
                cache_read: price.cache_read,
                cache_write: price.cache_write,
                cache_write_1h: price.cache_write_1h,
            },
        });
    }
    let model = Model {
        context: row.context,
        output: row.output,
        can: row.can,
        prices,
    };
    Ok((row.name, model))
}

impl Model {
    /// The price of a call with so much input on this day: of those in force,
    /// the newest of the highest tier that the input reaches.
    #[must_use]
    pub fn price(&self, on: Date, input: u64) -> Option<Price> {
        let in_force = self.prices.iter().filter(|p| p.from <= on);
        let reached = in_force.filter(|p| p.above == 0 || input > p.above);
        reached
            .max_by_key(|p| (p.above, p.from))
            .map(|dated| dated.price)
    }

    /// Whether it can; who said nothing of a model has not denied it.
    #[must_use]
    pub fn may(&self, ability: Ability) -> bool {
        self.can.as_ref().is_none_or(|can| can.contains(&ability))
    }
}

impl Price {
    /// What this usage costs, in US dollars.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> f64 {
        let read = self.cache_read.unwrap_or(self.input);
        let write = self.cache_write.unwrap_or(self.input);
        let write_1h = self.cache_write_1h.unwrap_or(write);
        let long = usage.cache_write_1h.min(usage.cache_write);
        let sum = tokens(usage.plain_input()) * self.input
            + tokens(usage.cache_read) * read
            + tokens(usage.cache_write - long) * write
            + tokens(long) * write_1h
            + tokens(usage.output) * self.output;
        sum / MILLION
    }
}

#[expect(clippy::cast_precision_loss, reason = "no call has 2^52 tokens")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn what_comes_with_the_binary_can_be_read_and_has_prices() {
        let book = Book::read(None).unwrap();
        let model = book.find("anthropic/claude-sonnet-4-5-20250929").unwrap();
        let usage = Usage {
            input: 1000,
            output: 100,
            ..Usage::default()
        };
        let price = model.price(day("2026-01-01"), usage.input).unwrap();
        assert!(close(price.of(&usage), 0.0045));
        assert!(model.may(Ability::Tools) && !model.may(Ability::Embed));
    }

    #[test]
    fn tiers_hold_for_the_whole_call_and_days_count() {
        let own = r#"
            [[model]]
            name = "a/b"
            price = [
              { from = "2026-01-01", input = 1.0, output = 2.0 },
              { from = "2026-06-01", input = 0.5, output = 1.0 },
              { from = "2026-01-01", above = 100, input = 10.0, output = 20.0 },
            ]
        "#;
        let book = Book::read(Some(own)).unwrap();
        let model = book.find("a/b").unwrap();
        let input = |on: &str, tokens| model.price(day(on), tokens).map(|p| p.input);
        assert_eq!(input("2025-12-31", 1), None, "not yet");
        assert_eq!(input("2026-01-01", 100), Some(1.0));
        assert_eq!(input("2026-06-01", 100), Some(0.5));
        assert_eq!(input("2026-06-01", 101), Some(10.0));
    }

    #[test]
    fn every_kind_of_input_has_its_price_and_is_counted_once() {
        let price = Price {
            input: 1.0,
            output: 10.0,
            cache_read: Some(0.1),
            cache_write: Some(1.25),
            cache_write_1h: Some(2.0),
        };
        let usage = Usage {
            input: 1_000_000,
            cache_read: 400_000,
            cache_write: 200_000,
            cache_write_1h: 50_000,
            output: 100_000,
            reasoning: 90_000,
            ..Usage::default()
        };
        let expected = 0.4 + 0.04 + 0.15 * 1.25 + 0.05 * 2.0 + 1.0;
        assert!(close(price.of(&usage), expected));
    }

    #[test]
    fn an_unknown_model_has_no_price_and_a_longer_prefix_wins() {
        let own =
            "[[model]]\nname = \"x/*\"\ncontext = 1\n[[model]]\nname = \"x/y*\"\ncontext = 2\n";
        let book = Book::read(Some(own)).unwrap();
        assert_eq!(book.find("x/z").unwrap().context, Some(1));
        assert_eq!(book.find("x/yy").unwrap().context, Some(2));
        assert_eq!(book.find("x/z").unwrap().price(day("2026-01-01"), 1), None);
        assert!(book.find("nobody/knows").is_none());
    }

    #[test]
    fn files_that_mean_nothing_are_refused() {
        for (text, says) in [
            ("[[model]]\nname = \"x\"", "vendor/model"),
            ("[[model]]\nname = \"x/y\"\nprize = 3", "prize"),
            (
                "[[model]]\nname = \"x/y\"\nprice = [{from = \"1\", input = 1.0, output = 1.0}]",
                "from",
            ),
            (
                "[[model]]\nname = \"x/y\"\nprice = [{from = \"2026-01-01\", input = -1.0, output = 1.0}]",
                "negative",
            ),
        ] {
            let error = Book::read(Some(text)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
