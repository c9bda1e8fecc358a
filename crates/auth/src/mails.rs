//! Codes and links on their way: made, remembered as hashes, and queued in the
//! same transaction, so that a mail goes out if and only if its code counts.

use std::time::Duration;

use jiff::Timestamp;
use kernel::Secret;
use serde_json::{Map, Value};

use crate::codes::{PKCE_PREFIX, otp, token_hash};
use crate::error::{AuthError, Code, Result, code};
use crate::hook::{EmailData, Point, Sms};
use crate::limits::Kind;
use crate::model::User;
use crate::ports::{Mail, Message};
use crate::request::Call;
use crate::room::Auth;
use crate::store::{OneTime, Tx, UserPatch};

/// A mail with one code in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeMail {
    Confirmation,
    Recovery,
    MagicLink,
    Invite,
    Reauthentication,
}

impl CodeMail {
    fn template(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Recovery => "recovery",
            Self::MagicLink => "magic_link",
            Self::Invite => "invite",
            Self::Reauthentication => "reauthentication",
        }
    }

    /// `type` of the link, and what hooks call it.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Confirmation => "signup",
            Self::Recovery => "recovery",
            Self::MagicLink => "magiclink",
            Self::Invite => "invite",
            Self::Reauthentication => "reauthentication",
        }
    }

    fn one_time(self) -> OneTime {
        match self {
            Self::Confirmation | Self::Invite => OneTime::Confirmation,
            Self::Recovery | Self::MagicLink => OneTime::Recovery,
            Self::Reauthentication => OneTime::Reauthentication,
        }
    }
}

/// Whether a flow will be finished by a code and its verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Implicit,
    Pkce,
}

impl Flow {
    pub(crate) fn of(challenge: &str) -> Self {
        if challenge.is_empty() {
            Self::Implicit
        } else {
            Self::Pkce
        }
    }

    fn mark(self, hash: String) -> String {
        match self {
            Self::Implicit => hash,
            Self::Pkce => format!("{PKCE_PREFIX}{hash}"),
        }
    }
}

impl OneTime {
    /// The columns of `auth.users` that hold it.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Confirmation => ("confirmation_token", "confirmation_sent_at"),
            Self::Reauthentication => ("reauthentication_token", "reauthentication_sent_at"),
            Self::Recovery => ("recovery_token", "recovery_sent_at"),
            Self::EmailChangeNew => ("email_change_token_new", "email_change_sent_at"),
            Self::EmailChangeCurrent => ("email_change_token_current", "email_change_sent_at"),
            Self::PhoneChange => ("phone_change_token", "phone_change_sent_at"),
        }
    }
}

impl User {
    /// The stored hash and when it was sent.
    pub(crate) fn one_time(&self, kind: OneTime) -> (&str, Option<Timestamp>) {
        match kind {
            OneTime::Confirmation => (&self.confirmation_token, self.confirmation_sent_at),
            OneTime::Reauthentication => {
                (&self.reauthentication_token, self.reauthentication_sent_at)
            }
            OneTime::Recovery => (&self.recovery_token, self.recovery_sent_at),
            OneTime::EmailChangeNew => (&self.email_change_token_new, self.email_change_sent_at),
            OneTime::EmailChangeCurrent => {
                (&self.email_change_token_current, self.email_change_sent_at)
            }
            OneTime::PhoneChange => (&self.phone_change_token, self.phone_change_sent_at),
        }
    }
}

/// Refuses what comes too soon after the last of its kind.
pub(crate) fn check_frequency(
    sent: Option<Timestamp>,
    limit: Duration,
    now: Timestamp,
    code: Code,
) -> Result<()> {
    let Some(until) = sent.and_then(|sent| sent.checked_add(limit).ok()) else {
        return Ok(());
    };
    if now >= until {
        return Ok(());
    }
    let left = until.as_second() - now.as_second();
    Err(AuthError::too_many(
        code,
        format!("For security purposes, you can only request this after {left} seconds."),
    ))
}

impl Auth {
    /// A link that ends a flow: to our own `verify`, wherever the room is
    /// mounted, whatever host the request named.
    pub(crate) fn action_link(&self, hash: &str, action: &str, redirect_to: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", hash)
            .append_pair("type", action)
            .append_pair("redirect_to", redirect_to)
            .finish();
        let base = self.config.external_url.as_str().trim_end_matches('/');
        format!("{base}/verify?{query}")
    }

    /// Makes a code, remembers its hash, and sends it to the user's address.
    pub(crate) async fn send_code(
        &self,
        tx: &Tx,
        call: &Call,
        user: &mut User,
        mail: CodeMail,
        flow: Flow,
    ) -> Result<()> {
        let kind = mail.one_time();
        let (_, sent) = user.one_time(kind);
        if mail != CodeMail::Invite {
            let limit = self.config.mail.max_frequency;
            check_frequency(sent, limit, tx.now, code::OVER_EMAIL_SEND_RATE_LIMIT)?;
        }
        let otp = otp(&self.rng, self.config.mail.otp_length);
        let hash = flow.mark(token_hash(&user.email, &otp));
        tx.remember(
            user,
            kind,
            &hash,
            &user.email.clone(),
            mail == CodeMail::Invite,
        )
        .await?;
        let redirect_to = call.referrer(self);
        let mut data = self.mail_data(user);
        data.insert("Token".to_owned(), otp.as_str().into());
        if mail != CodeMail::Reauthentication {
            let link = self.action_link(&hash, mail.action(), &redirect_to);
            data.insert("ConfirmationURL".to_owned(), link.into());
            data.insert("TokenHash".to_owned(), hash.as_str().into());
            data.insert("RedirectTo".to_owned(), redirect_to.as_str().into());
        }
        self.check_authorized(&user.email)?;
        let told = EmailData {
            token: otp,
            token_hash: hash,
            redirect_to,
            email_action_type: mail.action().to_owned(),
            site_url: self.config.external_url.to_string(),
            ..EmailData::default()
        };
        let one = Mail {
            template: mail.template(),
            to: user.email.clone(),
            data,
        };
        self.send_mails(tx, (user, &call.address_text()), &[one], &told)
            .await
    }

    /// Asks for the confirmation of a new address, at the old one too where
    /// that is wanted.
    pub(crate) async fn send_email_change(
        &self,
        tx: &Tx,
        call: &Call,
        user: &mut User,
        email: &str,
        flow: Flow,
    ) -> Result<()> {
        let config = &self.config.mail;
        check_frequency(
            user.email_change_sent_at,
            config.max_frequency,
            tx.now,
            code::OVER_EMAIL_SEND_RATE_LIMIT,
        )?;
        let at_both = config.double_confirm && !user.email.is_empty();
        self.check_authorized(email)?;
        if at_both {
            self.check_authorized(&user.email)?;
        }
        email.clone_into(&mut user.email_change);
        user.email_change_confirm_status = 0;
        let patch = UserPatch::new(tx.now)
            .text("email_change", email)
            .number("email_change_confirm_status", 0);
        tx.patch(user, patch).await?;
        let redirect_to = call.referrer(self);
        let mut mails = Vec::new();
        let mut codes = Vec::new();
        let mut addresses = vec![(OneTime::EmailChangeNew, email.to_owned())];
        if at_both {
            addresses.push((OneTime::EmailChangeCurrent, user.email.clone()));
        }
        for (kind, address) in addresses {
            let otp = otp(&self.rng, config.otp_length);
            let hash = flow.mark(token_hash(&address, &otp));
            tx.remember(user, kind, &hash, &address, false).await?;
            let mut data = self.mail_data(user);
            let link = self.action_link(&hash, "email_change", &redirect_to);
            let texts = [
                ("ConfirmationURL", link.as_str()),
                ("NewEmail", email),
                ("Token", &otp),
                ("TokenHash", &hash),
                ("SendingTo", &address),
                ("RedirectTo", &redirect_to),
            ];
            for (name, text) in texts {
                data.insert(name.to_owned(), text.into());
            }
            mails.push(Mail {
                template: "email_change",
                to: address,
                data,
            });
            codes.push((otp, hash));
        }
        let told = EmailData {
            redirect_to,
            site_url: self.config.external_url.to_string(),
            ..change_data(codes)
        };
        self.send_mails(tx, (user, &call.address_text()), &mails, &told)
            .await
    }

    /// Tells the user what was done to their account, where that is wanted.
    pub(crate) async fn notify(
        &self,
        tx: &Tx,
        user: &User,
        to: &str,
        kind: &'static str,
        more: &[(&str, &str)],
    ) -> Result<()> {
        let wanted = kind.strip_suffix("_notification").unwrap_or(kind);
        let wanted = self.config.mail.notifications.get(wanted).copied();
        if !wanted.unwrap_or(false) || to.is_empty() {
            return Ok(());
        }
        let mut data = self.mail_data(user);
        for (name, text) in more {
            data.insert((*name).to_owned(), (*text).into());
        }
        let mail = Mail {
            template: kind,
            to: to.to_owned(),
            data,
        };
        let told = EmailData {
            email_action_type: kind.to_owned(),
            site_url: self.config.external_url.to_string(),
            ..EmailData::default()
        };
        self.send_mails(tx, (user, ""), &[mail], &told).await
    }

    fn mail_data(&self, user: &User) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("SiteURL".to_owned(), self.config.site_url.as_str().into());
        data.insert("Email".to_owned(), user.email.as_str().into());
        data.insert("Data".to_owned(), Value::Object(user.user_metadata.clone()));
        data
    }

    async fn send_mails(
        &self,
        tx: &Tx,
        (user, ip): (&User, &str),
        mails: &[Mail],
        told: &EmailData,
    ) -> Result<()> {
        if !self.config.mail.autoconfirm && self.limits.check_all(Kind::EmailSent).is_err() {
            return Err(AuthError::too_many(
                code::OVER_EMAIL_SEND_RATE_LIMIT,
                "email rate limit exceeded",
            ));
        }
        let hooks = &self.parts.hooks;
        if hooks.has(Point::SendEmail) {
            let user = user.document();
            // Boxed: most projects have no hook, and every mail would carry its
            // size along.
            let sent = Box::pin(hooks.send_email(Some(tx.open()), &user, told, ip));
            return Ok(sent.await?);
        }
        for mail in mails {
            tx.run_for("Error sending email", self.parts.outbox.enqueue(mail)?)
                .await?;
        }
        Ok(())
    }

    /// Makes a code, remembers its hash, and sends it to a phone. The id that
    /// the carrier gave the message, if any.
    pub(crate) async fn send_phone_code(
        &self,
        tx: &Tx,
        user: &mut User,
        phone: &str,
        kind: OneTime,
        channel: &str,
    ) -> Result<Option<String>> {
        let config = &self.config.phone;
        let (_, sent) = user.one_time(kind);
        check_frequency(
            sent,
            config.max_frequency,
            tx.now,
            code::OVER_SMS_SEND_RATE_LIMIT,
        )?;
        if kind == OneTime::PhoneChange {
            phone.clone_into(&mut user.phone_change);
            let patch = UserPatch::new(tx.now).text("phone_change", phone);
            tx.patch(user, patch).await?;
        }
        let known = config.test_otps.get(phone, tx.now).map(str::to_owned);
        let (otp, id) = match known {
            Some(otp) => (otp, Some("test-otp".to_owned())),
            None => self.send_message(tx, user, phone, channel).await?,
        };
        let hash = token_hash(phone, &otp);
        tx.remember(user, kind, &hash, phone, false).await?;
        Ok(id)
    }

    async fn send_message(
        &self,
        tx: &Tx,
        user: &User,
        phone: &str,
        channel: &str,
    ) -> Result<(String, Option<String>)> {
        let config = &self.config.phone;
        if !config.autoconfirm && self.limits.check_all(Kind::SmsSent).is_err() {
            return Err(AuthError::too_many(
                code::OVER_SMS_SEND_RATE_LIMIT,
                "SMS rate limit exceeded",
            ));
        }
        let otp = otp(&self.rng, config.otp_length);
        let hooks = &self.parts.hooks;
        if hooks.has(Point::SendSms) {
            let sms = Sms {
                otp: otp.clone(),
                sms_type: channel.to_owned(),
                phone: phone.to_owned(),
            };
            // Within the transaction: a function of the database needs no
            // second connection, and a message that fails leaves no code.
            let user = user.document();
            Box::pin(hooks.send_sms(Some(tx.open()), &user, &sms, "")).await?;
            return Ok((otp, None));
        }
        let text = config
            .template
            .replace("{{ .Code }}", &otp)
            .replace("{{.Code}}", &otp);
        let message = Message {
            phone: phone.to_owned(),
            channel: channel.to_owned(),
            otp: Secret::new(otp.clone()),
            text: Secret::new(text),
            user: user.document(),
        };
        let id = self.parts.messenger.send(&message).await?;
        Ok((otp, id))
    }
}

/// What hooks hear of a change of address. The pairs are crossed, as they
/// always were: `token_hash` belongs to `token_new`.
fn change_data(codes: Vec<(String, String)>) -> EmailData {
    let mut codes = codes.into_iter();
    let (new_otp, token_hash) = codes.next().unwrap_or_default();
    let (token, token_new, token_hash_new) = match codes.next() {
        Some((otp, hash)) => (otp, new_otp, hash),
        None => (new_otp, String::new(), String::new()),
    };
    EmailData {
        token,
        token_hash,
        email_action_type: "email_change".to_owned(),
        token_new,
        token_hash_new,
        ..EmailData::default()
    }
}

impl Tx {
    /// Keeps a code's hash, in the user's row and among the one-time tokens.
    pub(crate) async fn remember(
        &self,
        user: &mut User,
        kind: OneTime,
        hash: &str,
        address: &str,
        invited: bool,
    ) -> Result<()> {
        let (token, sent_at) = kind.columns();
        let mut patch = UserPatch::new(self.now)
            .text(token, hash)
            .at(sent_at, Some(self.now));
        if invited {
            patch = patch.at("invited_at", Some(self.now));
            user.invited_at = Some(self.now);
        }
        self.patch(user, patch).await?;
        let now = Some(self.now);
        let (held, sent) = match kind {
            OneTime::Confirmation => (&mut user.confirmation_token, &mut user.confirmation_sent_at),
            OneTime::Reauthentication => (
                &mut user.reauthentication_token,
                &mut user.reauthentication_sent_at,
            ),
            OneTime::Recovery => (&mut user.recovery_token, &mut user.recovery_sent_at),
            OneTime::EmailChangeNew => (
                &mut user.email_change_token_new,
                &mut user.email_change_sent_at,
            ),
            OneTime::EmailChangeCurrent => (
                &mut user.email_change_token_current,
                &mut user.email_change_sent_at,
            ),
            OneTime::PhoneChange => (&mut user.phone_change_token, &mut user.phone_change_sent_at),
        };
        hash.clone_into(held);
        *sent = now;
        self.one_time_token(user.id, kind, hash, address).await
    }
}
