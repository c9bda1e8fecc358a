//! `/admin/users/{id}/factors`: the operator's way back for those who have
//! lost their second factor.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts;
use crate::error::{AuthError, Result, code, json_response};
use crate::factors::not_found;
use crate::model::Factor;
use crate::request::{Admin, Call, nullable};
use crate::room::Auth;
use crate::routes::admin_users::named;
use crate::routes::factors::check_name;
use crate::store::Actor;

fn factor_id(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text)
        .map_err(|_| AuthError::not_found(code::VALIDATION_FAILED, "factor_id must be an UUID"))
}

pub(crate) async fn list(
    State(auth): State<Arc<Auth>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    let factors: Vec<Value> = user.factors.iter().map(Factor::document).collect();
    Ok(json_response(StatusCode::OK, &factors.into()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    #[serde(deserialize_with = "nullable")]
    friendly_name: String,
    #[serde(deserialize_with = "nullable")]
    phone: String,
}

pub(crate) async fn update(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path((id, factor)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    let factor = factor_id(&factor)?;
    let params: Params = call.json()?;
    check_name(&params.friendly_name)?;
    let tx = auth.store.begin().await?;
    let mut found = tx
        .factor_for_update(user.id, factor)
        .await?
        .ok_or_else(not_found)?;
    if !params.friendly_name.is_empty() {
        let same =
            |other: &Factor| other.id != found.id && other.friendly_name == params.friendly_name;
        if user.factors.iter().any(same) {
            return Err(AuthError::unprocessable(
                code::MFA_FACTOR_NAME_CONFLICT,
                "Another factor of this user has that name",
            ));
        }
        tx.rename_factor(found.id, &params.friendly_name).await?;
        found.friendly_name.clone_from(&params.friendly_name);
    }
    if !params.phone.is_empty() && found.factor_type == "phone" {
        let phone = accounts::phone(&params.phone)?;
        tx.set_factor_phone(found.id, &phone).await?;
        found.phone = phone;
    }
    let traits = json!({
        "user_id": user.id.to_string(),
        "factor_id": found.id.to_string(),
        "factor_type": found.factor_type,
    });
    let actor = Actor::admin(&admin.role);
    tx.audit(&actor, "factor_updated", Some(traits), "").await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &found.document()))
}

pub(crate) async fn delete(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path((id, factor)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let user = named(&auth, &id).await?;
    let factor = factor_id(&factor)?;
    let tx = auth.store.begin().await?;
    let found = tx
        .factor_for_update(user.id, factor)
        .await?
        .ok_or_else(not_found)?;
    let traits = json!({"user_id": user.id.to_string(), "factor_id": found.id.to_string()});
    let actor = Actor::admin(&admin.role);
    let from = call.address_text();
    tx.audit(&actor, "factor_deleted", Some(traits), &from)
        .await?;
    tx.delete_factor(&found).await?;
    tx.commit().await?;
    Ok(json_response(StatusCode::OK, &found.document()))
}
