//! Who somebody is, as a provider tells: addresses, and the claims that become
//! an identity's data, under the names that GoTrue keeps.

use serde_json::{Map, Value, json};

use super::id_token::text;

pub(crate) const GOOGLE: &str = "https://accounts.google.com";

/// More addresses than this are nobody's.
const EMAILS_MAX: usize = 50;
/// A longer claim is cut off: it would be in every access token.
const CLAIM_BYTES_MAX: usize = 2048;

/// An address of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email {
    /// In small letters.
    pub(crate) address: String,
    /// The provider has seen that it is theirs.
    pub(crate) verified: bool,
    pub(crate) primary: bool,
}

/// Who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) subject: String,
    pub(crate) emails: Vec<Email>,
    /// Becomes `identity_data`.
    pub(crate) data: Map<String, Value>,
}

const TEXTS: [&str; 21] = [
    "iss",
    "sub",
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone",
    "full_name",
    "avatar_url",
    "slug",
    "provider_id",
    "user_name",
];

impl Profile {
    /// Of an ID token, or of an answer at the userinfo endpoint.
    pub(crate) fn of_claims(claims: &Map<String, Value>) -> Self {
        let issuer = text(claims, "iss");
        let mut data = Map::new();
        for name in TEXTS {
            let value = text(claims, name);
            if !value.is_empty() && value.len() <= CLAIM_BYTES_MAX {
                data.insert(name.to_owned(), value.into());
            }
        }
        let subject = text(claims, "sub").to_owned();
        data.insert("phone_verified".to_owned(), json!(false));
        if issuer == GOOGLE || issuer == "accounts.google.com" {
            for (from, to) in [("picture", "avatar_url"), ("name", "full_name")] {
                if let Some(value) = data.get(from).cloned() {
                    data.insert(to.to_owned(), value);
                }
            }
            data.insert("provider_id".to_owned(), subject.as_str().into());
            if !text(claims, "hd").is_empty() {
                let hosted = json!({"hd": text(claims, "hd")});
                data.insert("custom_claims".to_owned(), hosted);
            }
        }
        // Apple's say it as a text.
        let verified = ["email_verified", "verified_email"].iter().any(|name| {
            let said = claims.get(*name);
            said == Some(&json!(true)) || said == Some(&json!("true"))
        });
        let emails = vec![Email {
            address: text(claims, "email").to_owned(),
            verified,
            primary: true,
        }];
        Self {
            subject,
            emails,
            data,
        }
        .settled()
    }

    /// Of GitHub's `/user` and `/user/emails`.
    pub(crate) fn of_github(api: &str, user: &Value, emails: &Value) -> Option<Self> {
        let id = user.get("id")?.as_u64()?.to_string();
        let mut data = Map::new();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() && value.len() <= CLAIM_BYTES_MAX {
                data.insert(name.to_owned(), value.into());
            }
        };
        let said = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
        set("iss", api);
        set("sub", &id);
        set("name", said("name"));
        set("preferred_username", said("login"));
        set("full_name", said("name"));
        set("avatar_url", said("avatar_url"));
        set("provider_id", &id);
        set("user_name", said("login"));
        data.insert("phone_verified".to_owned(), json!(false));
        let flag = |email: &Value, name: &str| email.get(name) == Some(&json!(true));
        let emails = emails.as_array()?.iter().take(EMAILS_MAX);
        let emails = emails.filter_map(|email| {
            Some(Email {
                address: email.get("email")?.as_str()?.to_owned(),
                verified: flag(email, "verified"),
                primary: flag(email, "primary"),
            })
        });
        let emails = emails.collect();
        Some(
            Self {
                subject: id,
                emails,
                data,
            }
            .settled(),
        )
    }

    /// Addresses in the form in which they are kept; the primary one in the
    /// data.
    fn settled(mut self) -> Self {
        self.emails.retain_mut(|email| {
            let kept = crate::accounts::email(&email.address);
            kept.map(|kept| email.address = kept).is_ok()
        });
        let primary = self.emails.iter().find(|email| email.primary);
        let chosen = primary.or(self.emails.last());
        let verified = chosen.is_some_and(|email| email.verified);
        if let Some(email) = chosen {
            let address = email.address.as_str().into();
            self.data.insert("email".to_owned(), address);
        }
        self.data
            .insert("email_verified".to_owned(), json!(verified));
        self
    }

    /// The address that an account would have.
    pub(crate) fn primary(&self) -> Option<&Email> {
        self.emails
            .iter()
            .find(|email| email.primary)
            .or(self.emails.last())
    }

    /// The provider vouches for these.
    pub(crate) fn verified(&self) -> Vec<&str> {
        let verified = self.emails.iter().filter(|email| email.verified);
        verified.map(|email| email.address.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_words_become_gotrues() {
        let claims = json!({
            "iss": GOOGLE, "sub": "1", "name": "A B", "picture": "https://p/1", "hd": "b.co",
            "email": "A@B.co", "email_verified": true, "role": "service_role",
        });
        let profile = Profile::of_claims(claims.as_object().expect("an object"));
        assert_eq!(
            Value::Object(profile.data.clone()),
            json!({
                "iss": GOOGLE, "sub": "1", "name": "A B", "picture": "https://p/1",
                "phone_verified": false, "avatar_url": "https://p/1", "full_name": "A B",
                "provider_id": "1", "custom_claims": {"hd": "b.co"}, "email": "a@b.co",
                "email_verified": true,
            })
        );
        assert_eq!(profile.verified(), ["a@b.co"]);
    }

    #[test]
    fn only_what_github_has_seen_is_verified() {
        let user = json!({"id": 7, "login": "ab", "name": null, "avatar_url": "https://p/7"});
        let emails = json!([
            {"email": "old@b.co", "verified": true, "primary": false},
            {"email": "new@b.co", "verified": false, "primary": true},
            {"email": "nonsense", "verified": true, "primary": false},
        ]);
        let profile = Profile::of_github("https://api.github.com", &user, &emails);
        let profile = profile.expect("a profile");
        assert_eq!(profile.subject, "7");
        assert_eq!(profile.primary().map(|email| email.verified), Some(false));
        assert_eq!(profile.verified(), ["old@b.co"]);
        assert_eq!(profile.data.get("email_verified"), Some(&json!(false)));
    }
}
