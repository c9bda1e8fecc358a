//! The addresses in mails. They begin with what the operator configured, never
//! with what a request claims about itself: a forged `Host` header would send
//! the victim's token to whoever forged it.

use url::Url;

/// Builds links. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    verify: Url,
}

/// What a link is for: the `type` of `/verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `signup`
    Signup,
    /// `invite`
    Invite,
    /// `recovery`
    Recovery,
    /// `magiclink`
    MagicLink,
    /// `email_change`
    EmailChange,
}

impl LinkKind {
    fn name(self) -> &'static str {
        match self {
            Self::Signup => "signup",
            Self::Invite => "invite",
            Self::Recovery => "recovery",
            Self::MagicLink => "magiclink",
            Self::EmailChange => "email_change",
        }
    }
}

/// The configured address is none that a mail program would follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an http(s) address that links in mails can begin with")]
pub struct LinksError(String);

impl Links {
    /// `auth_url` is where this room is reached from outside, such as
    /// `https://api.example.com/auth/v1`.
    pub fn new(auth_url: &str) -> Result<Self, LinksError> {
        let wrong = || LinksError(auth_url.to_owned());
        let mut verify = Url::parse(auth_url).map_err(|_| wrong())?;
        if !matches!(verify.scheme(), "http" | "https") || !verify.has_host() {
            return Err(wrong());
        }
        verify.set_query(None);
        verify.set_fragment(None);
        let path = format!("{}/verify", verify.path().trim_end_matches('/'));
        verify.set_path(&path);
        Ok(Self { verify })
    }

    /// `ConfirmationURL`: proves that who follows it reads the mail. The
    /// redirect address must have been checked against the allowed ones.
    #[must_use]
    pub fn confirmation(&self, kind: LinkKind, token_hash: &str, redirect_to: &str) -> String {
        let mut url = self.verify.clone();
        url.query_pairs_mut()
            .append_pair("token", token_hash)
            .append_pair("type", kind.name())
            .append_pair("redirect_to", redirect_to);
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_begins_with_the_configured_address() {
        let links = Links::new("https://api.test/base/auth/v1/").expect("an address");
        let link = links.confirmation(LinkKind::Signup, "pkce_ab", "https://app.test/?a=b&c#d");
        assert_eq!(
            link,
            "https://api.test/base/auth/v1/verify?token=pkce_ab&type=signup\
             &redirect_to=https%3A%2F%2Fapp.test%2F%3Fa%3Db%26c%23d"
        );
        // A value cannot add parameters of its own.
        let link = links.confirmation(LinkKind::Recovery, "x&type=invite", "");
        assert!(link.contains("token=x%26type%3Dinvite&type=recovery"));
    }

    #[test]
    fn only_web_addresses() {
        for wrong in [
            "",
            "api.test",
            "ftp://x/",
            "javascript:alert(1)",
            "mailto:a@b",
        ] {
            assert!(Links::new(wrong).is_err(), "{wrong}");
        }
    }
}
