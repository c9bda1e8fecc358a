//! What a call may cost before it is made, and what it did cost. Pure.
//!
//! An estimate is what budgets reserve: the input as we count it, and as much
//! output as the call may have. A price that nobody knows counts as [`ASSUMED`]
//! in budgets and stays unknown in the ledger.

use jiff::civil::Date;

use crate::chat::{ChatRequest, Image, Part};
use crate::prices::{ASSUMED, Price};
use crate::route::Candidate;
use crate::usage::Usage;

/// Output that is reserved, and asked for where the provider must be told a
/// number, when nobody says how much.
pub const OUTPUT_TOKENS: u32 = 8192;
/// A token is rarely shorter than this many bytes, so counts err upwards.
const BYTES_PER_TOKEN: u64 = 3;
/// What messages, tools and pictures take beside their text.
const PER_MESSAGE: u64 = 8;
const PER_TOOL: u64 = 32;
const PER_PICTURE: u64 = 1600;

/// Our own count of a request's input.
#[must_use]
pub fn input_tokens(request: &ChatRequest) -> u64 {
    let mut bytes = request.system.as_deref().map_or(0, str::len);
    let mut extra = PER_MESSAGE;
    for message in &request.messages {
        extra += PER_MESSAGE;
        for part in &message.parts {
            bytes += match part {
                Part::Text(text) | Part::Reasoning { text, .. } => text.len(),
                Part::ToolResult { content, .. } => content.len(),
                Part::ToolCall(call) => call.name.len() + call.args.to_string().len(),
                Part::Image(Image::Data { .. } | Image::Url(_)) => {
                    extra += PER_PICTURE;
                    0
                }
            };
        }
    }
    for tool in &request.tools {
        extra += PER_TOOL;
        bytes += tool.description.len() + tool.parameters.to_string().len();
    }
    if let Some(schema) = &request.schema {
        bytes += schema.schema.to_string().len();
    }
    text_tokens(bytes) + extra
}

/// Our own count of so many bytes of text.
#[must_use]
pub fn text_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What a call may use, and what of that asking alone uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// US dollars, never unknown.
    pub cost: f64,
    /// Tokens.
    pub tokens: u64,
    /// US dollars of the input.
    pub sent_cost: f64,
    /// Tokens of the input.
    pub sent_tokens: u64,
}

/// What asking this candidate may cost.
#[must_use]
pub fn estimate(candidate: &Candidate, input: u64, output: u64, on: Date) -> Estimate {
    let price = price_of(candidate, input, on).unwrap_or(ASSUMED);
    let sent = Usage {
        input,
        ..Usage::default()
    };
    let whole = Usage {
        output,
        ..sent.clone()
    };
    Estimate {
        cost: price.of(&whole),
        tokens: input.saturating_add(output),
        sent_cost: price.of(&sent),
        sent_tokens: input,
    }
}

/// The price of a candidate, if anybody knows it.
#[must_use]
pub fn price_of(candidate: &Candidate, input: u64, on: Date) -> Option<Price> {
    if candidate.free {
        return Some(FREE);
    }
    candidate.model.as_ref()?.price(on, input)
}

const FREE: Price = Price {
    input: 0.0,
    output: 0.0,
    cache_read: None,
    cache_write: None,
    cache_write_1h: None,
};

/// What a try did cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// US dollars; none when nobody knows.
    pub cost: Option<f64>,
    /// What budgets count instead of not knowing.
    pub charged: f64,
}

/// What this usage of a candidate costs. What the provider itself says wins.
#[must_use]
pub fn bill(candidate: &Candidate, usage: &Usage, on: Date) -> Bill {
    let said = usage.cost.filter(|cost| cost.is_finite() && *cost >= 0.0);
    let ours = price_of(candidate, usage.input, on).map(|price| price.of(usage));
    let cost = said.or(ours);
    Bill {
        cost,
        charged: cost.unwrap_or_else(|| ASSUMED.of(usage)),
    }
}

/// The sum of two bills; it is known where both are.
#[must_use]
pub fn add(a: Bill, b: Bill) -> Bill {
    Bill {
        cost: a.cost.zip(b.cost).map(|(a, b)| a + b),
        charged: a.charged + b.charged,
    }
}

/// How much output a request may have at this candidate.
#[must_use]
pub fn output_tokens(candidate: &Candidate, asked: Option<u32>) -> u64 {
    let most = candidate.model.as_ref().and_then(|model| model.output);
    u64::from(asked.unwrap_or(OUTPUT_TOKENS)).min(most.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::prices::Book;
    use crate::route::Route;

    fn candidate(priced: bool, free: bool) -> Candidate {
        let text = "[[model]]\nname = \"a/x\"\noutput = 100\n\
            price = [{from = \"2026-01-01\", input = 1.0, output = 10.0}]";
        let book = Book::read(Some(text)).unwrap();
        Candidate {
            route: Route::parse("a/x").unwrap(),
            model: book.find("a/x").filter(|_| priced).cloned(),
            free,
        }
    }

    fn today() -> Date {
        "2026-02-03".parse().unwrap()
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage {
            input,
            output,
            ..Usage::default()
        }
    }

    #[test]
    fn an_unknown_price_is_unknown_in_the_ledger_and_counts_in_budgets() {
        let bill = bill(&candidate(false, false), &usage(1_000_000, 0), today());
        assert_eq!(bill.cost, None);
        assert!((bill.charged - ASSUMED.input).abs() < 1e-9);
        let sum = add(
            bill,
            Bill {
                cost: Some(1.0),
                charged: 1.0,
            },
        );
        assert_eq!(sum.cost, None, "part of it is unknown");
    }

    #[test]
    fn what_the_provider_says_wins_and_what_is_ours_is_free() {
        let mut said = usage(1_000_000, 0);
        said.cost = Some(0.25);
        assert_eq!(
            bill(&candidate(true, false), &said, today()).cost,
            Some(0.25)
        );
        said.cost = Some(f64::NAN);
        assert_eq!(
            bill(&candidate(true, false), &said, today()).cost,
            Some(1.0)
        );
        let free = bill(&candidate(false, true), &usage(5, 5), today());
        assert_eq!((free.cost, free.charged), (Some(0.0), 0.0));
    }

    #[test]
    fn an_estimate_is_not_below_what_the_call_can_cost() {
        let one = candidate(true, false);
        let output = output_tokens(&one, Some(5000));
        assert_eq!(output, 100, "the model has no more");
        assert_eq!(
            output_tokens(&candidate(false, false), None),
            u64::from(OUTPUT_TOKENS)
        );
        let estimate = estimate(&one, 50, output, today());
        let real = bill(&one, &usage(50, 100), today());
        assert!(estimate.cost >= real.charged && estimate.tokens >= 150);
        assert!(estimate.sent_cost < estimate.cost);
    }

    #[test]
    fn everything_that_is_sent_is_counted() {
        let small = input_tokens(&ChatRequest::to("x").user("hello"));
        let long = input_tokens(&ChatRequest::to("x").user("hello".repeat(100)));
        let system = input_tokens(&ChatRequest::to("x").user("hello").system("y".repeat(900)));
        assert!(small > 0 && long > small + 150 && system >= small + 300);
    }
}
