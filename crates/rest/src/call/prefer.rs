//! The `Prefer` header: how the client would like its answer.
//!
//! Several headers and one header with commas say the same; of several
//! values for one preference the first counts. Start at [`Preferences`].

use std::collections::HashSet;

use http::HeaderMap;

use crate::error::RestError;

/// What to do with rows that exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// `resolution=merge-duplicates`
    MergeDuplicates,
    /// `resolution=ignore-duplicates`
    IgnoreDuplicates,
}

/// What a write answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// `return=representation`: the written rows.
    Full,
    /// `return=minimal`: nothing, the default.
    Minimal,
    /// `return=headers-only`: the `Location` of the new row.
    HeadersOnly,
}

/// How to count the rows of the whole result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// `count=exact`
    Exact,
    /// `count=planned`: the planner's guess.
    Planned,
    /// `count=estimated`: exact up to the row limit, then the guess.
    Estimated,
}

impl Count {
    /// Whether the statement has to count.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(self, Self::Exact | Self::Estimated)
    }

    /// Whether the planner has to be asked.
    #[must_use]
    pub fn explains(self) -> bool {
        matches!(self, Self::Planned | Self::Estimated)
    }
}

/// How the transaction ends, where the operator lets clients choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// `tx=commit`
    Commit,
    /// `tx=rollback`
    Rollback,
}

/// What a column gets that the body does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `missing=default`
    Default,
    /// `missing=null`
    Null,
}

/// Whether an unknown preference is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// `handling=strict`
    Strict,
    /// `handling=lenient`
    Lenient,
}

const RESOLUTION: [(&str, Resolution); 2] = [
    ("resolution=merge-duplicates", Resolution::MergeDuplicates),
    ("resolution=ignore-duplicates", Resolution::IgnoreDuplicates),
];
const REPRESENTATION: [(&str, Representation); 3] = [
    ("return=representation", Representation::Full),
    ("return=minimal", Representation::Minimal),
    ("return=headers-only", Representation::HeadersOnly),
];
const COUNT: [(&str, Count); 3] = [
    ("count=exact", Count::Exact),
    ("count=planned", Count::Planned),
    ("count=estimated", Count::Estimated),
];
const TRANSACTION: [(&str, TransactionEnd); 2] = [
    ("tx=commit", TransactionEnd::Commit),
    ("tx=rollback", TransactionEnd::Rollback),
];
const MISSING: [(&str, Missing); 2] = [
    ("missing=default", Missing::Default),
    ("missing=null", Missing::Null),
];
const HANDLING: [(&str, Handling); 2] = [
    ("handling=strict", Handling::Strict),
    ("handling=lenient", Handling::Lenient),
];

/// The preferences of a request. Stages that do not honour one set it to
/// `None`, so that [`Preferences::applied`] does not claim it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `resolution=`
    pub resolution: Option<Resolution>,
    /// `return=`
    pub representation: Option<Representation>,
    /// `count=`
    pub count: Option<Count>,
    /// `tx=`; `None` as well where the operator does not allow it.
    pub transaction: Option<TransactionEnd>,
    /// `missing=`
    pub missing: Option<Missing>,
    /// `handling=`
    pub handling: Option<Handling>,
    /// `timezone=`, when the database knows it.
    pub timezone: Option<String>,
    /// `max-affected=`
    pub max_affected: Option<i64>,
    /// What was asked for and is not known.
    pub invalid: Vec<String>,
}

impl Preferences {
    /// Reads every `Prefer` header. `timezones` are the names the database
    /// accepts; `overridable` says whether clients may choose how the
    /// transaction ends.
    #[must_use]
    pub fn parse(
        headers: &HeaderMap,
        timezones: &HashSet<String>,
        overridable: TransactionChoice,
    ) -> Self {
        let texts: Vec<String> = headers
            .get_all("prefer")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let wishes: Vec<&str> = texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .collect();
        let timezone = wishes
            .iter()
            .find_map(|wish| wish.strip_prefix("timezone="))
            .filter(|name| timezones.contains(*name));
        let max_affected = wishes
            .iter()
            .find_map(|wish| wish.strip_prefix("max-affected="))
            .and_then(|number| number.parse().ok());
        let transaction = match overridable {
            TransactionChoice::Client => first(&wishes, &TRANSACTION),
            TransactionChoice::Operator => None,
        };
        Self {
            resolution: first(&wishes, &RESOLUTION),
            representation: first(&wishes, &REPRESENTATION),
            count: first(&wishes, &COUNT),
            transaction,
            missing: first(&wishes, &MISSING),
            handling: first(&wishes, &HANDLING),
            timezone: timezone.map(str::to_owned),
            max_affected,
            invalid: wishes
                .iter()
                .filter(|wish| !is_known(wish, timezone.is_some()))
                .map(|wish| (*wish).to_owned())
                .collect(),
        }
    }

    /// Fails when the client wants to hear about unknown preferences and
    /// there are some. Upstream looks only after it has found the table.
    pub fn check(&self) -> Result<(), RestError> {
        if self.handling == Some(Handling::Strict) && !self.invalid.is_empty() {
            return Err(RestError::InvalidPreferences(self.invalid.clone()));
        }
        Ok(())
    }

    /// The `max-affected` limit, which only strict handling enforces.
    #[must_use]
    pub fn enforced_max_affected(&self) -> Option<i64> {
        self.max_affected
            .filter(|_| self.handling == Some(Handling::Strict))
    }

    /// The value of `Preference-Applied`, in the dialect's order.
    #[must_use]
    pub fn applied(&self) -> Option<String> {
        let timezone = self
            .timezone
            .as_ref()
            .map(|name| format!("timezone={name}"));
        let max_affected = self
            .enforced_max_affected()
            .map(|rows| format!("max-affected={rows}"));
        let applied: Vec<&str> = [
            name_of(self.resolution, &RESOLUTION),
            name_of(self.missing, &MISSING),
            name_of(self.representation, &REPRESENTATION),
            name_of(self.count, &COUNT),
            name_of(self.transaction, &TRANSACTION),
            name_of(self.handling, &HANDLING),
            timezone.as_deref(),
            max_affected.as_deref(),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// Who decides how a transaction ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionChoice {
    /// The operator alone; `tx=` is ignored.
    #[default]
    Operator,
    /// The client, by `Prefer: tx=`.
    Client,
}

fn first<T: Copy>(wishes: &[&str], known: &[(&str, T)]) -> Option<T> {
    wishes.iter().find_map(|wish| {
        known
            .iter()
            .find(|(name, _)| name == wish)
            .map(|(_, value)| *value)
    })
}

fn name_of<T: Copy + PartialEq>(
    value: Option<T>,
    known: &[(&'static str, T)],
) -> Option<&'static str> {
    let value = value?;
    known
        .iter()
        .find(|(_, other)| *other == value)
        .map(|(name, _)| *name)
}

fn is_known(wish: &str, timezone_accepted: bool) -> bool {
    first(&[wish], &RESOLUTION).is_some()
        || first(&[wish], &REPRESENTATION).is_some()
        || first(&[wish], &COUNT).is_some()
        || first(&[wish], &TRANSACTION).is_some()
        || first(&[wish], &MISSING).is_some()
        || first(&[wish], &HANDLING).is_some()
        || (timezone_accepted && wish.starts_with("timezone="))
        || wish.starts_with("max-affected=")
        // Checked by `access::wanted`, which refuses what it does not know.
        || wish.starts_with("explain=")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(values: &[&str], choice: TransactionChoice) -> Preferences {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        let zones = HashSet::from(["America/Los_Angeles".to_owned()]);
        Preferences::parse(&headers, &zones, choice)
    }

    #[test]
    fn lists_and_headers_are_equal_and_the_order_is_fixed() {
        let one = parse(
            &["return=representation,resolution=merge-duplicates ,  count=exact,tx=commit"],
            TransactionChoice::Client,
        );
        let many = parse(
            &[
                "return=representation",
                "resolution=merge-duplicates",
                "count=exact",
                "tx=commit",
            ],
            TransactionChoice::Client,
        );
        assert_eq!(one, many);
        assert_eq!(
            one.applied().unwrap(),
            "resolution=merge-duplicates, return=representation, count=exact, tx=commit"
        );
    }

    #[test]
    fn only_strict_handling_complains() {
        let strict = parse(
            &[
                "handling=strict",
                "something, else, timezone=Mars, tx=commit",
            ],
            TransactionChoice::Operator,
        );
        assert_eq!(strict.invalid, ["something", "else", "timezone=Mars"]);
        assert_eq!(strict.transaction, None);
        assert_eq!(strict.check().unwrap_err().code(), "PGRST122");
        let lenient = parse(&["anything"], TransactionChoice::Operator);
        assert!(lenient.check().is_ok());
        assert_eq!(lenient.applied(), None);
    }

    #[test]
    fn limits_count_when_strict() {
        let strict = parse(
            &["handling=strict, max-affected=5, timezone=America/Los_Angeles"],
            TransactionChoice::Operator,
        );
        assert_eq!(
            strict.applied().unwrap(),
            "handling=strict, timezone=America/Los_Angeles, max-affected=5"
        );
        let lenient = parse(&["max-affected=5"], TransactionChoice::Operator);
        assert_eq!(lenient.enforced_max_affected(), None);
    }
}
