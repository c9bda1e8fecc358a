//! Numbers, words and yes or no, as models write them.

use serde_json::{Map, Number, Value};

use crate::structured::coerce::cost;
use crate::structured::lenient::Kind;

/// One of the values that an `enum` or `const` allows, and how it may be called.
#[derive(Debug)]
pub(crate) struct Word {
    value: Value,
    names: Vec<String>,
}

/// The allowed values, if the schema is a list of such. A list of constants
/// with titles or descriptions is one as well.
pub(crate) fn words(schema: &Map<String, Value>) -> Option<Vec<Word>> {
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return Some(all.iter().map(|value| word(value, &[])).collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![word(value, &[])]);
    }
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    let words = branches.as_array()?.iter().map(|branch| {
        let value = branch.get("const")?;
        let names = ["title", "description"];
        let names = names.map(|name| branch.get(name).and_then(Value::as_str));
        let names: Vec<&str> = names.into_iter().flatten().collect();
        Some(word(value, &names))
    });
    words.collect()
}

fn word(value: &Value, names: &[&str]) -> Word {
    let own = value.as_str().map(str::to_owned);
    let own = own.unwrap_or_else(|| value.to_string());
    let names = names.iter().map(|name| (*name).to_owned());
    Word {
        value: value.clone(),
        names: std::iter::once(own).chain(names).collect(),
    }
}

/// Which of the words this is: as written, in another spelling, or the only one
/// that is mentioned.
pub(crate) fn one_of(kind: &Kind, words: &[Word]) -> Option<(Value, u32)> {
    let (Kind::Text(text) | Kind::Bare(text)) = kind else {
        return None;
    };
    let exact = words.iter().find(|word| word.names.first() == Some(text));
    if let Some(word) = exact {
        return Some((word.value.clone(), 0));
    }
    let loose = plain(text);
    let only = |fits: &dyn Fn(&Word) -> bool| {
        let mut found = words.iter().filter(|word| fits(word));
        let first = found.next()?;
        found.next().is_none().then(|| first.value.clone())
    };
    if let Some(value) = only(&|word| word.names.iter().any(|name| plain(name) == loose)) {
        return Some((value, cost::SPELLING));
    }
    let said: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
        .map(plain)
        .collect();
    let mentioned = |word: &Word| {
        let own = word.names.first().map(|name| plain(name));
        own.is_some_and(|own| !own.is_empty() && said.contains(&own))
    };
    Some((only(&mentioned)?, cost::GUESS))
}

/// Letters and digits only, small.
pub(crate) fn plain(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

pub(crate) fn boolean(kind: &Kind) -> Option<(Value, u32)> {
    let (text, quoted) = match kind {
        Kind::Bare(text) => (text, 0),
        Kind::Text(text) => (text, cost::KIND),
        _ => return None,
    };
    let (value, odd) = match text.trim().to_ascii_lowercase().as_str() {
        "true" => (true, 0),
        "false" => (false, 0),
        "yes" => (true, cost::GUESS),
        "no" => (false, cost::GUESS),
        _ => return None,
    };
    Some((value.into(), quoted + odd))
}

pub(crate) fn null(kind: &Kind) -> Option<(Value, u32)> {
    let Kind::Bare(text) = kind else {
        return None;
    };
    match text.as_str() {
        "null" => Some((Value::Null, 0)),
        "None" | "nil" | "undefined" | "NULL" | "Null" => Some((Value::Null, cost::SPELLING)),
        _ => None,
    }
}

/// A number, perhaps in quotes, with separators or within words.
pub(crate) fn number(kind: &Kind, integer: bool) -> Option<(Value, u32)> {
    let (text, quoted) = match kind {
        Kind::Bare(text) => (text.trim(), 0),
        Kind::Text(text) => (text.trim(), cost::KIND),
        _ => return None,
    };
    if let Some(number) = parsed(text, integer) {
        return Some((number, quoted));
    }
    let mut found = text.split(|c: char| !(c.is_ascii_digit() || ",._-".contains(c)));
    let mut found = found
        .by_ref()
        .filter(|it| it.contains(|c: char| c.is_ascii_digit()));
    let one = found.next()?;
    // Between two numbers nobody can choose.
    if found.next().is_some() {
        return None;
    }
    let one = one.trim_matches(['.', ',', '_']).replace([',', '_'], "");
    Some((parsed(&one, integer)?, quoted + cost::GUESS))
}

fn parsed(text: &str, integer: bool) -> Option<Value> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = exact(text);
    let number = number.or_else(|| Number::from_f64(decimal(text)?))?;
    if !integer || number.is_i64() || number.is_u64() {
        return Some(Value::Number(number));
    }
    // `3.0` is three; `3.5` is no integer at all.
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "compared right after")]
    let whole = float as i64;
    #[expect(
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "exact or no integer"
    )]
    let exact = whole as f64 == float;
    exact.then(|| whole.into())
}

/// A number of JSON. Its fractions are read by the standard library, to the
/// last digit.
pub(crate) fn exact(text: &str) -> Option<Number> {
    let number = serde_json::from_str::<Number>(text).ok()?;
    if number.is_f64() {
        return Number::from_f64(text.parse().ok()?);
    }
    Some(number)
}

/// `.5` and `5.`, which JSON does not know.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches('-');
    let fits = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    (fits && !digits.is_empty()).then(|| text.parse().ok())?
}
