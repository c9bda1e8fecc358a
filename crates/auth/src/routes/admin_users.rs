//! `/admin/users`: the operator's view of everybody.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::accounts;
use crate::error::{AuthError, Result, code, json_response};
use crate::model::User;
use crate::request::{Admin, Call, Data, nullable};
use crate::room::Auth;
use crate::routes::pages::{Page, with_page_headers};
use crate::routes::user::{DUPLICATE_EMAIL, DUPLICATE_PHONE};
use crate::store::{Actor, Tx, UserPatch, merge};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    aud: String,
    #[serde(deserialize_with = "nullable")]
    role: String,
    #[serde(deserialize_with = "nullable")]
    email: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
    password: Option<String>,
    #[serde(deserialize_with = "nullable")]
    password_hash: String,
    #[serde(deserialize_with = "nullable")]
    email_confirm: bool,
    #[serde(deserialize_with = "nullable")]
    phone_confirm: bool,
    user_metadata: Data,
    app_metadata: Data,
    #[serde(deserialize_with = "nullable")]
    ban_duration: String,
}

/// What is to become of a ban.
#[derive(Clone, Copy)]
enum Ban {
    AsItIs,
    Lifted,
    Until(Timestamp),
}

impl Ban {
    async fn apply(self, tx: &Tx, user: &mut User) -> Result<()> {
        match self {
            Self::AsItIs => Ok(()),
            Self::Lifted => tx.ban(user, None).await,
            Self::Until(until) => tx.ban(user, Some(until)).await,
        }
    }
}

impl Params {
    fn ban(&self, now: Timestamp) -> Result<Ban> {
        match self.ban_duration.as_str() {
            "" => Ok(Ban::AsItIs),
            "none" => Ok(Ban::Lifted),
            text => {
                let until = crate::span::parse(text).and_then(|span| now.checked_add(span).ok());
                let until = until.ok_or_else(|| {
                    AuthError::invalid(format!(
                        "invalid format for ban duration: time: invalid duration {text:?}"
                    ))
                })?;
                Ok(Ban::Until(until))
            }
        }
    }
}

/// The user that an address names.
pub(crate) async fn named(auth: &Auth, id: &str) -> Result<User> {
    let id = Uuid::parse_str(id)
        .map_err(|_| AuthError::not_found(code::VALIDATION_FAILED, "user_id must be an UUID"))?;
    let user = auth.store.user_by_id(id).await?;
    user.ok_or_else(|| AuthError::not_found(code::USER_NOT_FOUND, "User not found"))
}

pub(crate) async fn list(State(auth): State<Arc<Auth>>, _: Admin, call: Call) -> Result<Response> {
    let page = Page::of(&call)?;
    let audience = call.audience(&auth);
    let ascending = match call.asked("sort").as_deref() {
        None => false,
        Some(sort) => match sort.split_once(' ').unwrap_or((sort, "desc")) {
            ("created_at", dir) if dir.eq_ignore_ascii_case("asc") => true,
            ("created_at", dir) if dir.eq_ignore_ascii_case("desc") => false,
            ("created_at", dir) => {
                return Err(AuthError::invalid(format!(
                    "Bad Sort Parameters: bad direction for sort '{dir}', only 'asc' and 'desc' allowed"
                )));
            }
            (field, _) => {
                return Err(AuthError::invalid(format!(
                    "Bad Sort Parameters: bad field for sort '{field}'"
                )));
            }
        },
    };
    let filter = call.asked("filter");
    let (users, total) = auth
        .store
        .users(&audience, filter.as_deref(), ascending, &page)
        .await?;
    let users: Vec<Value> = users.iter().map(User::document).collect();
    let body = json!({"users": users, "aud": audience});
    Ok(with_page_headers(
        json_response(StatusCode::OK, &body),
        &auth,
        &call,
        &page,
        total,
    ))
}

pub(crate) async fn get(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    Ok(json_response(StatusCode::OK, &user.document()))
}

pub(crate) async fn create(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    call: Call,
) -> Result<Response> {
    let mut params: Params = call.json()?;
    let audience = if params.aud.is_empty() {
        call.audience(&auth)
    } else {
        params.aud.clone()
    };
    if params.email.is_empty() && params.phone.is_empty() {
        return Err(AuthError::invalid(
            "Cannot create a user without either an email or phone",
        ));
    }
    let mut providers = Vec::new();
    if !params.email.is_empty() {
        params.email = accounts::email(&params.email)?;
        providers.push("email");
    }
    if !params.phone.is_empty() {
        params.phone = accounts::phone(&params.phone)?;
        providers.push("phone");
    }
    refuse_taken(&auth, &params, &audience).await?;
    let ban = params.ban(auth.clock.now())?;
    let hash = auth.given_password(&params).await?;
    let mut new = auth.new_user(&audience, providers.first().copied(), Map::new());
    new.user_metadata = params.user_metadata.clone().unwrap_or_default();
    new.app_metadata
        .insert("providers".to_owned(), json!(providers));
    merge(
        &mut new.app_metadata,
        &params.app_metadata.clone().unwrap_or_default(),
    );
    new.email.clone_from(&params.email);
    new.phone.clone_from(&params.phone);
    new.password_hash = Some(hash);
    if !params.role.trim().is_empty() {
        params.role.trim().clone_into(&mut new.role);
    }
    if let Some(id) = custom_id(&params.id)? {
        new.id = id;
    }
    let tx = auth.store.begin().await?;
    let mut user = tx.insert_user(&new).await?;
    if !params.email.is_empty() {
        tx.own_identity(&mut user, "email", &params.email, false)
            .await?;
    }
    if !params.phone.is_empty() {
        tx.own_identity(&mut user, "phone", &params.phone, false)
            .await?;
    }
    confirm_as_asked(&tx, &mut user, &params).await?;
    ban.apply(&tx, &mut user).await?;
    let mut traits = traits(&user);
    traits.insert("provider".to_owned(), json!(providers.first()));
    tx.audit(
        &Actor::admin(&admin.role),
        "user_signedup",
        Some(Value::Object(traits)),
        "",
    )
    .await?;
    tx.reload(&mut user).await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &user.document()))
}

fn custom_id(text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = Uuid::parse_str(text)
        .map_err(|_| AuthError::invalid("ID must conform to the uuid v4 format"))?;
    if id.is_nil() {
        return Err(AuthError::invalid("ID cannot be a nil uuid"));
    }
    Ok(Some(id))
}

async fn refuse_taken(auth: &Auth, params: &Params, audience: &str) -> Result<()> {
    if !params.email.is_empty() {
        let taken = auth
            .store
            .duplicate_email(&params.email, audience, None)
            .await?;
        if taken.is_some() {
            return Err(AuthError::unprocessable(
                code::EMAIL_EXISTS,
                DUPLICATE_EMAIL,
            ));
        }
    }
    if !params.phone.is_empty()
        && auth
            .store
            .user_by_phone(&params.phone, audience)
            .await?
            .is_some()
    {
        return Err(AuthError::unprocessable(
            code::PHONE_EXISTS,
            "Phone number already registered by another user",
        ));
    }
    Ok(())
}

impl Auth {
    /// The hash that a new user begins with.
    async fn given_password(&self, params: &Params) -> Result<String> {
        let password = params.password.as_deref().filter(|text| !text.is_empty());
        match (password, params.password_hash.as_str()) {
            (Some(_), hash) if !hash.is_empty() => Err(AuthError::invalid(
                "Only a password or a password hash should be provided",
            )),
            (Some(password), _) => self.hash(password).await,
            (None, "") => self.unknown_password_hash().await,
            (None, hash) => {
                crate::password::Passwords::check_format(hash).map_err(|_| {
                    AuthError::invalid("The password hash is of no kind that can be checked")
                })?;
                Ok(hash.to_owned())
            }
        }
    }
}

async fn confirm_as_asked(tx: &Tx, user: &mut User, params: &Params) -> Result<()> {
    if params.email_confirm {
        tx.confirm(user).await?;
    }
    if params.phone_confirm {
        tx.confirm_phone(user).await?;
    }
    Ok(())
}

fn traits(user: &User) -> Map<String, Value> {
    let mut traits = Map::new();
    traits.insert("user_id".to_owned(), user.id.to_string().into());
    traits.insert("user_email".to_owned(), user.email.as_str().into());
    traits.insert("user_phone".to_owned(), user.phone.as_str().into());
    traits
}

pub(crate) async fn update(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    let found = named(&auth, &id).await?;
    let mut params: Params = call.json()?;
    if !params.email.is_empty() {
        params.email = accounts::email(&params.email)?;
        let taken = auth
            .store
            .duplicate_email(&params.email, &found.aud, Some(found.id));
        if taken.await?.is_some() {
            return Err(AuthError::unprocessable(
                code::EMAIL_EXISTS,
                DUPLICATE_EMAIL,
            ));
        }
    }
    if !params.phone.is_empty() {
        params.phone = accounts::phone(&params.phone)?;
        let taken = auth.store.user_by_phone(&params.phone, &found.aud).await?;
        if taken.is_some_and(|user| user.id != found.id) {
            return Err(AuthError::unprocessable(
                code::PHONE_EXISTS,
                DUPLICATE_PHONE,
            ));
        }
    }
    let ban = params.ban(auth.clock.now())?;
    let hash = match params.password.as_deref() {
        Some(password) if !password.is_empty() => {
            auth.check_password(password).await?;
            Some(auth.hash(password).await?)
        }
        _ => None,
    };
    let tx = auth.store.begin().await?;
    let user = tx.user_for_update(found.id).await?;
    let mut user =
        user.ok_or_else(|| AuthError::not_found(code::USER_NOT_FOUND, "User not found"))?;
    let role = params.role.trim();
    if !role.is_empty() {
        tx.patch(&user, UserPatch::new(tx.now).text("role", role))
            .await?;
    }
    if params.password.is_some() {
        tx.set_password(&mut user, hash, None).await?;
    }
    change_addresses(&tx, &mut user, &params).await?;
    confirm_as_asked(&tx, &mut user, &params).await?;
    if let Some(data) = &params.app_metadata {
        tx.merge_app_metadata(&mut user, data).await?;
    }
    if let Some(data) = &params.user_metadata {
        tx.merge_user_metadata(&mut user, data).await?;
    }
    ban.apply(&tx, &mut user).await?;
    let traits = Value::Object(traits(&user));
    tx.audit(
        &Actor::admin(&admin.role),
        "user_modified",
        Some(traits),
        "",
    )
    .await?;
    tx.reload(&mut user).await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &user.document()))
}

async fn change_addresses(tx: &Tx, user: &mut User, params: &Params) -> Result<()> {
    for (kind, value, confirmed) in [
        ("email", &params.email, params.email_confirm),
        ("phone", &params.phone, params.phone_confirm),
    ] {
        if value.is_empty() {
            continue;
        }
        tx.own_identity(user, kind, value, confirmed).await?;
        if confirmed {
            tx.end_anonymity(user).await?;
        }
        tx.patch(user, UserPatch::new(tx.now).text(kind, value))
            .await?;
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeleteParams {
    #[serde(deserialize_with = "nullable")]
    should_soft_delete: bool,
}

pub(crate) async fn delete(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    let mut user = named(&auth, &id).await?;
    let params: DeleteParams = if call.body.is_empty() {
        DeleteParams::default()
    } else {
        call.json()?
    };
    let tx = auth.store.begin().await?;
    let traits = Value::Object(traits(&user));
    tx.audit(&Actor::admin(&admin.role), "user_deleted", Some(traits), "")
        .await?;
    if !params.should_soft_delete {
        tx.delete_user(user.id).await?;
    } else if user.deleted_at.is_none() {
        tx.soft_delete(&mut user).await?;
    }
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &json!({})))
}

/// Ends every session of a user.
pub(crate) async fn logout(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    let tx = auth.store.begin().await?;
    let traits = Value::Object(traits(&user));
    tx.audit(&Actor::admin(&admin.role), "logout", Some(traits), "")
        .await?;
    tx.end_sessions(user.id).await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &json!({})))
}
