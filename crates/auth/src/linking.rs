//! Whose account here an account elsewhere is: the one it was linked to, else
//! the one with an address that the provider vouches for, else a new one.
//!
//! Stricter than GoTrue in four points, each against a takeover: an address
//! that the provider does not vouch for links to nobody, also where sign-ups
//! are confirmed at once; nor does one that another provider did not vouch
//! for; an account's address is confirmed only by a provider that vouches for
//! that very address; and what is refused for want of an address leaves no
//! account behind.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{AuthError, Result, code};
use crate::hook::Point;
use crate::mails::{CodeMail, Flow};
use crate::model::User;
use crate::oidc::profile::Profile;
use crate::request::Call;
use crate::room::Auth;
use crate::routes::signup::preview;
use crate::store::{Actor, NewUser, OneTime, Tx, UserPatch};

/// What came of it. A refusal may still have something to keep: an account
/// that waits for its confirmation.
pub(crate) struct Linked {
    pub(crate) user: User,
    /// Nobody had been here before.
    pub(crate) created: bool,
    pub(crate) refusal: Option<AuthError>,
}

/// Somebody of a provider.
pub(crate) struct Guest<'a> {
    pub(crate) provider: &'a str,
    pub(crate) profile: &'a Profile,
    /// Without an address they are welcome as well.
    pub(crate) email_optional: bool,
}

impl Guest<'_> {
    fn vouches(&self, email: &str) -> bool {
        !email.is_empty() && self.profile.verified().contains(&email)
    }

    fn data(&self) -> Map<String, Value> {
        self.profile.data.clone()
    }

    fn unverified(&self, sent: bool) -> AuthError {
        let name = self.provider;
        let message = if sent {
            format!(
                "Unverified email with {name}. A confirmation email has been sent to your {name} email"
            )
        } else {
            format!(
                "Unverified email with {name}. Verify the email with {name} in order to sign in"
            )
        };
        AuthError::unprocessable(code::PROVIDER_EMAIL_NEEDS_VERIFICATION, message)
    }
}

impl Auth {
    /// Asks the project's hook about somebody who would be new here. Before the
    /// transaction that makes them, as every sign-up does: a slow answer must
    /// not hold a connection. Says whether they may become a user; who is here
    /// already need not.
    pub(crate) async fn ask_about_guest(&self, call: &Call, guest: &Guest<'_>) -> Result<bool> {
        if !self.parts.hooks.has(Point::BeforeUserCreated) {
            return Ok(true);
        }
        let tx = self.store.begin().await?;
        let subject = &guest.profile.subject;
        let known = tx.user_by_identity(guest.provider, subject).await?;
        if known.is_some() || self.related(&tx, guest).await?.is_some() {
            return Ok(false);
        }
        drop(tx);
        let new = self.guest_user(call, guest).await?;
        self.before_user_created(&preview(&new), call).await?;
        Ok(true)
    }

    /// Tells the project's hook of somebody new, once that is certain.
    pub(crate) async fn tell_of_guest(&self, news: Option<Value>, call: &Call) -> Result<()> {
        match news {
            Some(user) => self.after_user_created(&user, call).await,
            None => Ok(()),
        }
    }

    /// Signs somebody in, or up when they `may_become` a user.
    pub(crate) async fn welcome_guest(
        &self,
        tx: &Tx,
        call: &Call,
        guest: &Guest<'_>,
        may_become: bool,
    ) -> Result<Linked> {
        let subject = &guest.profile.subject;
        let mut created = false;
        let known = tx.user_by_identity(guest.provider, subject).await?;
        let mut user = if let Some(mut user) = known {
            self.renew(tx, &mut user, guest).await?;
            user
        } else if let Some(user) = self.related(tx, guest).await? {
            self.relate(tx, call, user, guest).await?
        } else if may_become {
            created = true;
            self.create(tx, call, guest).await?
        } else {
            // Their account went away since the hook was not asked.
            return Err(AuthError::new(
                StatusCode::CONFLICT,
                code::CONFLICT,
                "The account has changed meanwhile, please try again",
            ));
        };
        if user.is_banned(tx.now) {
            return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
        }
        let refusal = self.confirm_guest(tx, call, &mut user, guest, created);
        let refusal = refusal.await?;
        tx.reload(&mut user).await?;
        Ok(Linked {
            user,
            created,
            refusal,
        })
    }

    async fn renew(&self, tx: &Tx, user: &mut User, guest: &Guest<'_>) -> Result<()> {
        let subject = &guest.profile.subject;
        let own = user.identities.iter().find(|identity| {
            identity.provider == guest.provider && identity.provider_id == *subject
        });
        if let Some(id) = own.map(|identity| identity.id) {
            tx.renew_identity(id, &Value::Object(guest.data())).await?;
        }
        tx.merge_user_metadata(user, &guest.data()).await?;
        tx.record_providers(user).await
    }

    /// Somebody here with an address that the provider vouches for.
    async fn related(&self, tx: &Tx, guest: &Guest<'_>) -> Result<Option<User>> {
        let verified = guest.profile.verified();
        if verified.is_empty() {
            return Ok(None);
        }
        match tx.users_with_emails(&verified).await?.as_slice() {
            [] => Ok(None),
            [one] => tx.user_for_update(*one).await,
            _ => Err(AuthError::Internal(
                "Multiple accounts with the same email address in the same linking domain detected: default",
            )),
        }
    }

    async fn relate(
        &self,
        tx: &Tx,
        call: &Call,
        mut user: User,
        guest: &Guest<'_>,
    ) -> Result<User> {
        tx.insert_identity(&mut user, guest.provider, guest.data())
            .await?;
        tx.merge_user_metadata(&mut user, &guest.data()).await?;
        tx.record_providers(&mut user).await?;
        linked(tx, call, &user, guest).await?;
        Ok(user)
    }

    async fn create(&self, tx: &Tx, call: &Call, guest: &Guest<'_>) -> Result<User> {
        let new = self.guest_user(call, guest).await?;
        let mut user = tx.insert_user(&new).await?;
        tx.insert_identity(&mut user, guest.provider, guest.data())
            .await?;
        Ok(user)
    }

    /// What they would be as a user, if they can be one.
    async fn guest_user(&self, call: &Call, guest: &Guest<'_>) -> Result<NewUser> {
        if self.config.signup_disabled {
            return Err(AuthError::unprocessable(
                code::SIGNUP_DISABLED,
                "Signups not allowed for this instance",
            ));
        }
        let audience = call.audience(self);
        let mut new = self.new_user(&audience, Some(guest.provider), guest.data());
        if let Some(email) = guest.profile.primary() {
            // Somebody else's stays somebody else's.
            let taken = self.store.duplicate_email(&email.address, &audience, None);
            if taken.await?.is_none() {
                new.email.clone_from(&email.address);
            }
        }
        if new.email.is_empty() && !guest.email_optional {
            return Err(guest.unverified(false));
        }
        Ok(new)
    }

    /// Confirms the account's address, or asks for its confirmation.
    async fn confirm_guest(
        &self,
        tx: &Tx,
        call: &Call,
        user: &mut User,
        guest: &Guest<'_>,
        created: bool,
    ) -> Result<Option<AuthError>> {
        let traits = || Some(json!({"provider": guest.provider}));
        let has_emails = !(guest.email_optional && user.email.is_empty());
        if !has_emails || user.is_confirmed() {
            tx.audit(&Actor::user(user), "login", traits(), "").await?;
            return Ok(None);
        }
        let email = user.email.clone();
        let vouched = guest.vouches(&email);
        if vouched || (created && self.config.mail.autoconfirm) {
            if !created {
                seize(tx, user, guest).await?;
            }
            tx.audit(&Actor::user(user), "user_signedup", traits(), "")
                .await?;
            tx.confirm(user).await?;
            return Ok(None);
        }
        if email.is_empty() {
            return Ok(Some(guest.unverified(false)));
        }
        self.send_code(tx, call, user, CodeMail::Confirmation, Flow::Implicit)
            .await?;
        Ok(Some(guest.unverified(true)))
    }

    /// Adds an account elsewhere to somebody who is signed in.
    pub(crate) async fn link_guest(
        &self,
        tx: &Tx,
        call: &Call,
        target: Uuid,
        guest: &Guest<'_>,
    ) -> Result<Linked> {
        let exists = |message| {
            Err(AuthError::unprocessable(
                code::IDENTITY_ALREADY_EXISTS,
                message,
            ))
        };
        let known = tx.user_by_identity(guest.provider, &guest.profile.subject);
        match known.await? {
            Some(other) if other.id == target => return exists("Identity is already linked"),
            Some(_) => return exists("Identity is already linked to another user"),
            None => {}
        }
        let user = tx.user_for_update(target).await?;
        let mut user = user.ok_or_else(|| {
            AuthError::unprocessable(code::USER_NOT_FOUND, "Linking target user not found")
        })?;
        if user.is_banned(tx.now) {
            return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
        }
        tx.insert_identity(&mut user, guest.provider, guest.data())
            .await?;
        linked(tx, call, &user, guest).await?;
        let mut refusal = None;
        if user.email.is_empty() {
            refusal = self.give_email(tx, call, &mut user, guest).await?;
        }
        tx.record_providers(&mut user).await?;
        let (to, more) = (user.email.clone(), [("Provider", guest.provider)]);
        self.notify(tx, &user, &to, "identity_linked_notification", &more)
            .await?;
        tx.reload(&mut user).await?;
        Ok(Linked {
            user,
            created: false,
            refusal,
        })
    }

    /// The first address of somebody who had none.
    async fn give_email(
        &self,
        tx: &Tx,
        call: &Call,
        user: &mut User,
        guest: &Guest<'_>,
    ) -> Result<Option<AuthError>> {
        let Some(email) = guest.profile.primary() else {
            tx.end_anonymity(user).await?;
            return Ok(None);
        };
        let taken = self
            .store
            .duplicate_email(&email.address, &user.aud, Some(user.id));
        if taken.await?.is_some() {
            return Err(AuthError::bad_request(
                code::EMAIL_EXISTS,
                "A user with this email address has already been registered",
            ));
        }
        user.email.clone_from(&email.address);
        let patch = UserPatch::new(tx.now).text("email", &email.address);
        tx.patch(user, patch).await?;
        if email.verified {
            tx.confirm(user).await?;
            tx.end_anonymity(user).await?;
            return Ok(None);
        }
        self.send_code(tx, call, user, CodeMail::Confirmation, Flow::Implicit)
            .await?;
        let name = guest.provider;
        Ok(Some(AuthError::unprocessable(
            code::EMAIL_NOT_CONFIRMED,
            format!(
                "Unverified email with {name}. A confirmation email has been sent to your {name} email"
            ),
        )))
    }

    /// Somebody who was invited comes with an account elsewhere.
    pub(crate) async fn invited_guest(
        &self,
        tx: &Tx,
        token: &str,
        guest: &Guest<'_>,
    ) -> Result<Linked> {
        let user = tx.user_by_token(token, &[OneTime::Confirmation]).await?;
        let mut user = user
            .filter(|user| user.invited_at.is_some())
            .ok_or_else(|| AuthError::not_found(code::INVITE_NOT_FOUND, "Invite not found"))?;
        let emails = &guest.profile.emails;
        if !emails.iter().any(|email| email.address == user.email) {
            return Err(AuthError::invalid(
                "Invited email does not match emails from external provider",
            ));
        }
        if user.is_banned(tx.now) {
            return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
        }
        tx.insert_identity(&mut user, guest.provider, guest.data())
            .await?;
        let traits = Some(json!({"provider": guest.provider}));
        tx.audit(&Actor::user(&user), "invite_accepted", traits, "")
            .await?;
        seize(tx, &mut user, guest).await?;
        tx.confirm(&mut user).await?;
        tx.reload(&mut user).await?;
        Ok(Linked {
            user,
            created: false,
            refusal: None,
        })
    }
}

async fn linked(tx: &Tx, call: &Call, user: &User, guest: &Guest<'_>) -> Result<()> {
    let id = user.identities.last().map(|identity| identity.id);
    let traits = json!({
        "identity_id": id.map(|id| id.to_string()),
        "provider": guest.provider,
        "provider_id": guest.profile.subject,
    });
    let address = call.address_text();
    tx.audit(
        &Actor::user(user),
        "identity_linked",
        Some(traits),
        &address,
    )
    .await
}

/// An account that nobody has confirmed becomes the guest's. Whoever made it
/// may have left a door: its password, sessions, tokens, other identities and
/// what it says about itself go.
async fn seize(tx: &Tx, user: &mut User, guest: &Guest<'_>) -> Result<()> {
    tx.set_password(user, None, None).await?;
    user.user_metadata = guest.data();
    let patch = UserPatch::new(tx.now).object("raw_user_meta_data", &user.user_metadata);
    tx.patch(user, patch).await?;
    let subject = &guest.profile.subject;
    let own = |identity: &crate::model::Identity| {
        identity.provider == guest.provider && identity.provider_id == *subject
    };
    let others = user.identities.iter().filter(|identity| !own(identity));
    let others: Vec<Uuid> = others.map(|identity| identity.id).collect();
    for id in others {
        tx.delete_identity(id).await?;
    }
    user.identities.retain(own);
    tx.record_providers(user).await
}
