//! What a signed form allows: until when, and which fields with which values.
//!
//! Every field of the form must be spoken of by a condition, except those that
//! carry the signature itself and those beginning with `x-ignore-`; a holder of
//! the form cannot add one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::error::{Result, S3Error};

/// Fields that carry the signature.
const EXEMPT: [&str; 7] = [
    "policy",
    "x-amz-signature",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "file",
];
/// Conditions of one policy; forms have a handful.
const CONDITIONS_MAX: usize = 100;

/// How long the file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Holds a form's fields (names in lower case, the bucket among them) against
/// its policy, which was signed as it stands; how long the file may be, if the
/// policy says so.
pub(crate) fn check(
    policy: &str,
    fields: &[(String, String)],
    now: Timestamp,
) -> Result<Option<Length>> {
    let invalid = |message| S3Error::malformed_signature(message);
    let policy = STANDARD.decode(policy.trim()).ok();
    let policy = policy.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let policy = policy.ok_or_else(|| invalid("Invalid POST policy"))?;
    let expiration = policy.get("expiration").and_then(Value::as_str);
    let expiration = expiration.ok_or_else(|| invalid("Missing policy expiration"))?;
    let expiration: Timestamp = expiration
        .parse()
        .map_err(|_| invalid("Invalid policy expiration"))?;
    if expiration < now {
        return Err(S3Error::expired());
    }
    let conditions = policy.get("conditions").and_then(Value::as_array);
    let conditions = conditions.filter(|all| all.len() <= CONDITIONS_MAX);
    let conditions = conditions.ok_or_else(|| invalid("Invalid policy conditions"))?;
    let mut covered = Vec::new();
    let mut length = None;
    for condition in conditions {
        match Condition::parse(condition)? {
            Condition::Length(said) => length = Some(said),
            Condition::Field { name, value, exact } => {
                let sent = fields.iter().find(|(field, _)| *field == name);
                let holds = sent.is_some_and(|(_, sent)| {
                    if exact {
                        *sent == value
                    } else {
                        sent.starts_with(&value)
                    }
                });
                if !holds {
                    return Err(S3Error::denied(format!(
                        "Policy condition failed: \"{name}\" does not match"
                    )));
                }
                covered.push(name);
            }
        }
    }
    for (name, _) in fields {
        let free = EXEMPT.contains(&name.as_str()) || name.starts_with("x-ignore-");
        if !free && !covered.contains(name) {
            return Err(S3Error::denied(format!(
                "Policy condition failed: field \"{name}\" is not covered by the policy"
            )));
        }
    }
    Ok(length)
}

enum Condition {
    Length(Length),
    Field {
        name: String,
        value: String,
        exact: bool,
    },
}

impl Condition {
    fn parse(condition: &Value) -> Result<Self> {
        let unknown = || S3Error::malformed_signature("Unsupported policy condition");
        if let Value::Object(object) = condition {
            let mut entries = object.iter();
            let (Some((name, value)), None) = (entries.next(), entries.next()) else {
                return Err(unknown());
            };
            return Ok(Self::Field {
                name: name.to_lowercase(),
                value: text(value).ok_or_else(unknown)?,
                exact: true,
            });
        }
        let Some([operator, target, value]) = condition.as_array().map(Vec::as_slice) else {
            return Err(unknown());
        };
        let exact = match operator.as_str() {
            Some("content-length-range") => {
                let (min, max) = (number(target), number(value));
                let (min, max) = min.zip(max).ok_or_else(unknown)?;
                return Ok(Self::Length(Length { min, max }));
            }
            Some("eq") => true,
            Some("starts-with") => false,
            _ => return Err(unknown()),
        };
        let name = target.as_str().and_then(|name| name.strip_prefix('$'));
        Ok(Self::Field {
            name: name.ok_or_else(unknown)?.to_lowercase(),
            value: text(value).ok_or_else(unknown)?,
            exact,
        })
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T22:00:00Z";

    fn run(policy: &str, fields: &[(&str, &str)]) -> Result<Option<Length>, &'static str> {
        let owned: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let now = NOW.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        check(&STANDARD.encode(policy), &owned, now).map_err(|error| error.code)
    }

    #[test]
    fn every_field_needs_its_condition() {
        let policy = r#"{"expiration": "2026-11-21T23:00:00Z", "conditions": [
            {"bucket": "b"}, ["starts-with", "$key", "u/"], ["eq", "$Content-Type", "a/b"],
            ["content-length-range", 1, 10]]}"#;
        let good = [("bucket", "b"), ("key", "u/1"), ("content-type", "a/b")];
        assert_eq!(run(policy, &good), Ok(Some(Length { min: 1, max: 10 })));
        let ignored = [good.as_slice(), &[("x-ignore-a", "1"), ("policy", "p")]].concat();
        assert!(run(policy, &ignored).is_ok());
        for changed in [
            [good.as_slice(), &[("x-amz-meta-a", "1")]].concat(),
            vec![("bucket", "c"), good[1], good[2]],
            vec![good[0], ("key", "v/1"), good[2]],
            vec![good[0], good[1], ("content-type", "a/c")],
            vec![good[0], good[1]],
        ] {
            assert_eq!(run(policy, &changed), Err("AccessDenied"), "{changed:?}");
        }
    }

    #[test]
    fn a_policy_ends_and_says_when() {
        let of = |expiration: &str| format!(r#"{{"expiration": {expiration}, "conditions": []}}"#);
        assert_eq!(
            run(&of("\"2026-11-21T21:59:59.999Z\""), &[]),
            Err("ExpiredToken")
        );
        assert_eq!(run(&of("\"2026-11-21T22:00:01.000Z\""), &[]), Ok(None));
        for wrong in ["null", "\"soon\"", "1"] {
            assert_eq!(run(&of(wrong), &[]), Err("InvalidSignature"), "{wrong}");
        }
        let unknown =
            r#"{"expiration": "2027-01-01T00:00:00Z", "conditions": [["ne", "$a", "b"]]}"#;
        assert_eq!(run(unknown, &[]), Err("InvalidSignature"));
    }
}
