//! Which passwords are good enough: `minimum_password_length` and
//! `password_requirements` of config.toml, and a list of leaked ones if there
//! is somebody who can look them up.

use std::fmt::Write as _;

use futures_util::future::BoxFuture;

/// bcrypt reads no more.
pub const PASSWORD_BYTES_MAX: usize = 72;

/// What config.toml asks of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordRules {
    /// In bytes, as GoTrue counts.
    min_length: usize,
    /// At least one character of each.
    required: Vec<Set>,
}

/// A set of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Lower,
    Upper,
    Letters,
    Digits,
    Symbols,
}

impl Set {
    /// As the message to the client lists them.
    fn characters(self) -> &'static str {
        match self {
            Self::Lower => "abcdefghijklmnopqrstuvwxyz",
            Self::Upper => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::Letters => "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::Digits => "0123456789",
            Self::Symbols => "!@#$%^&*()_+-=[]{};'\\:\"|<>?,./`~",
        }
    }
}

/// GoTrue's own least.
const MIN_LENGTH: usize = 6;

/// Why a password is not good enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Longer than bcrypt reads: 400 `validation_failed`.
    TooLong,
    /// Against the rules: 422 `weak_password` with these reasons.
    Weak {
        /// For people.
        message: String,
        /// `length`, `characters`, `pwned`.
        reasons: Vec<&'static str>,
    },
}

/// A line of config.toml that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "auth.password_requirements is {0:?}; it may be \"\", \"letters_digits\", \
     \"lower_upper_letters_digits\" or \"lower_upper_letters_digits_symbols\""
)]
pub struct RulesError(String);

/// Looks a password up among leaked ones. Wired where there is such a list.
pub trait Breached: Send + Sync {
    /// Whether it is known; `None` when the list cannot be asked, which does
    /// not stand in anybody's way.
    fn is_known<'a>(&'a self, password: &'a str) -> BoxFuture<'a, Option<bool>>;
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            min_length: MIN_LENGTH,
            required: Vec::new(),
        }
    }
}

impl PasswordRules {
    /// Reads `minimum_password_length` and `password_requirements`.
    pub fn new(min_length: usize, requirements: &str) -> Result<Self, RulesError> {
        let required = match requirements {
            "" => vec![],
            "letters_digits" => vec![Set::Letters, Set::Digits],
            "lower_upper_letters_digits" => vec![Set::Lower, Set::Upper, Set::Digits],
            "lower_upper_letters_digits_symbols" => {
                vec![Set::Lower, Set::Upper, Set::Digits, Set::Symbols]
            }
            other => return Err(RulesError(other.to_owned())),
        };
        Ok(Self {
            min_length: min_length.clamp(MIN_LENGTH, PASSWORD_BYTES_MAX),
            required,
        })
    }

    /// Checks a new password.
    pub async fn check(
        &self,
        password: &str,
        breached: Option<&dyn Breached>,
    ) -> Result<(), Weakness> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Weakness::TooLong);
        }
        let mut message = String::new();
        let mut reasons = Vec::new();
        if password.len() < self.min_length {
            reasons.push("length");
            // Writing to a String cannot fail.
            let _ = write!(
                message,
                "Password should be at least {} characters.",
                self.min_length
            );
        }
        let has = |set: &Set| password.contains(|c| set.characters().contains(c));
        if !self.required.iter().all(has) {
            let sets: Vec<&str> = self.required.iter().map(|set| set.characters()).collect();
            reasons.push("characters");
            let _ = write!(
                message,
                "{}Password should contain at least one character of each: {}.",
                space(&message),
                sets.join(", ")
            );
        }
        if let Some(list) = breached.filter(|_| reasons.is_empty())
            && list.is_known(password).await == Some(true)
        {
            reasons.push("pwned");
            message.push_str(
                "Password is known to be weak and easy to guess, please choose a different one.",
            );
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(Weakness::Weak { message, reasons })
        }
    }
}

fn space(before: &str) -> &'static str {
    if before.is_empty() { "" } else { " " }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List(Option<bool>);
    impl Breached for List {
        fn is_known<'a>(&'a self, password: &'a str) -> BoxFuture<'a, Option<bool>> {
            let answer = self.0.map(|known| known && password == "Passw0rd!");
            Box::pin(async move { answer })
        }
    }

    async fn reasons(rules: &PasswordRules, password: &str) -> Vec<&'static str> {
        match rules.check(password, Some(&List(Some(true)))).await {
            Ok(()) => vec![],
            Err(Weakness::TooLong) => vec!["too long"],
            Err(Weakness::Weak { reasons, .. }) => reasons,
        }
    }

    #[tokio::test]
    async fn the_rules_of_config_toml() {
        let rules = PasswordRules::new(8, "lower_upper_letters_digits_symbols").expect("known");
        assert_eq!(reasons(&rules, "aB3$efgh").await, [""; 0]);
        assert_eq!(reasons(&rules, "aB3$").await, ["length"]);
        assert_eq!(reasons(&rules, "ab3$efgh").await, ["characters"]);
        assert_eq!(reasons(&rules, "ab").await, ["length", "characters"]);
        assert_eq!(reasons(&rules, "Passw0rd!").await, ["pwned"]);
        assert_eq!(reasons(&rules, &"aB3$".repeat(18)).await, [""; 0]);
        assert_eq!(reasons(&rules, &"aB3$".repeat(19)).await, ["too long"]);
        assert!(PasswordRules::new(8, "letters").is_err());
    }

    #[tokio::test]
    async fn a_list_that_does_not_answer_stops_nobody() {
        let rules = PasswordRules::default();
        let list = List(None);
        assert_eq!(rules.check("Passw0rd!", Some(&list)).await, Ok(()));
        assert_eq!(PasswordRules::new(0, ""), Ok(PasswordRules::default()));
    }

    #[tokio::test]
    async fn the_message_is_the_one_clients_know() {
        let rules = PasswordRules::new(8, "letters_digits").expect("known");
        let Err(Weakness::Weak { message, .. }) = rules.check("abc", None).await else {
            unreachable!("too short")
        };
        assert_eq!(
            message,
            format!(
                "Password should be at least 8 characters. Password should contain at least one \
                 character of each: {}, {}.",
                Set::Letters.characters(),
                Set::Digits.characters()
            )
        );
    }
}
