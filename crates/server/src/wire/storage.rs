//! The storage room: its place for bytes, its connections, who signs its
//! addresses, and how the gateway sees it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use ::storage::blobs::{Blobs, Given as BlobsGiven};
use ::storage::ports::{Signer, Tokens};
use ::storage::{Config as Behaviour, Parts, S3, Storage};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use kernel::{Caller, Tasks};
use pg::{Pool, Session, Target};
use ring::hmac;
use serde_json::{Value, json};

use crate::app::{Context, StartError};
use crate::config::Config;
use crate::gateway::{Access, Bodies, Dialect, Gateway, Room, routed};
use crate::keys::Keys;

/// Who it is in the database.
pub(crate) const ROLE: &str = "supabase_storage_admin";
/// Where it is mounted.
const PREFIX: &str = "/storage/v1";
/// Its folder within the data folder.
pub(crate) const FOLDER: &str = "files";

/// What the room is made of beside settings.
pub(crate) struct Given<'a> {
    /// Its own connections, and those of callers.
    pub(crate) pools: (Pool, &'a Pool),
    /// Where clients reach us, without a path.
    pub(crate) url: &'a str,
    /// The project's keys: what signs addresses, one that every node has, and
    /// what S3's clients sign with.
    pub(crate) keys: &'a Keys,
    /// Whose a user's token is.
    pub(crate) tokens: Arc<UserTokens>,
    /// What stops first, and what goes on until requests are done.
    pub(crate) tasks: (&'a Tasks, &'a Tasks),
}

/// Where its bytes are.
pub(crate) fn folder(config: &Config) -> PathBuf {
    let named = config.storage.folder.clone();
    named.unwrap_or_else(|| config.db.data_dir.join(FOLDER))
}

/// Builds the room.
pub(crate) fn room(
    config: &Config,
    given: Given<'_>,
    context: &Context,
) -> Result<Arc<Storage>, StartError> {
    let (front, back) = given.tasks;
    let blobs = bytes(config, context, back)?;
    Ok(Storage::new(Parts {
        config: Behaviour {
            file_size_limit: config.storage.file_size_limit,
            resumable_expire_after: config.storage.resumable_expire_after,
            resumable_bounds: config.storage.resumable_bounds,
            url: format!("{}{PREFIX}", given.url),
        },
        requests: given.pools.1.clone(),
        pool: given.pools.0,
        role: ROLE.into(),
        blobs,
        signer: Arc::new(Hmac(hmac::Key::new(
            hmac::HMAC_SHA256,
            given.keys.shared_secret().expose().as_bytes(),
        ))),
        s3: s3(given.keys, given.tokens),
        tasks: back.clone(),
        leaving: front.token(),
        clock: context.clock.clone(),
        rng: context.rng.clone(),
    }))
}

/// Where the bytes are.
pub(crate) fn bytes(
    config: &Config,
    context: &Context,
    tasks: &Tasks,
) -> Result<Blobs, StartError> {
    let given = BlobsGiven {
        clock: context.clock.clone(),
        rng: context.rng.clone(),
        tasks: tasks.clone(),
    };
    if let Some(s3) = &config.storage.s3 {
        return Blobs::s3(s3, given).map_err(|error| StartError::Files {
            path: format!("s3://{}", s3.bucket),
            source: std::io::Error::other(error),
        });
    }
    let folder = folder(config);
    Blobs::local(&folder, given).map_err(|source| StartError::Files {
        path: folder.display().to_string(),
        source,
    })
}

/// What S3's clients sign with. Users sign with any public key of the project.
fn s3(keys: &Keys, tokens: Arc<UserTokens>) -> S3 {
    let anon = keys.anon_key.clone().into_iter();
    S3 {
        region: keys.s3.region.clone(),
        secret: Some(keys.shared_secret().clone()),
        anon_keys: anon.chain([keys.publishable_key.clone()]).collect(),
        fixed: keys.s3.pairs.clone(),
        tokens,
    }
}

/// Asks the gateway about users' tokens, once there is one: rooms are made
/// before it.
#[derive(Default)]
pub(crate) struct UserTokens(OnceLock<Weak<Gateway>>);

impl UserTokens {
    /// From now on this one is asked.
    pub(crate) fn ask(&self, gateway: &Arc<Gateway>) {
        // Nobody says it twice.
        let _ = self.0.set(Arc::downgrade(gateway));
    }
}

impl fmt::Debug for UserTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserTokens")
    }
}

impl Tokens for UserTokens {
    fn caller<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, String>> {
        Box::pin(async move {
            let gateway = self.0.get().and_then(Weak::upgrade);
            let gateway = gateway.ok_or("the server is starting or stopping")?;
            gateway.bearer(token).await
        })
    }
}

/// The room as the gateway sees it. It words refusals itself, since public
/// objects and signed addresses need nothing to be shown; and it bounds bodies
/// itself, since files are longer than anything else.
pub(super) fn mounted(room: &Arc<Storage>) -> Room {
    Room {
        name: "storage",
        prefix: PREFIX,
        dialect: Dialect::Storage,
        access: Access::Worded,
        bodies: Bodies::Streamed,
        service: routed(Arc::clone(room).router()),
    }
}

/// Why the room cannot work with this login, if it cannot.
pub(crate) async fn obstacle(target: &Target) -> Result<Option<String>, pg::Error> {
    let mut session = Session::connect(target).await?;
    // Closed right after: what is set here goes with it.
    let tried = session
        .script(
            "SET ROLE supabase_storage_admin; \
             SELECT FROM storage.objects LIMIT 0; SELECT FROM storage_engine.removed LIMIT 0",
        )
        .await;
    session.close().await;
    match tried {
        Ok(_) => Ok(None),
        Err(error) => match error.sqlstate() {
            Some(state) => Ok(Some(format!(
                "Files (/storage/v1) are switched off: {} cannot work as {ROLE} (SQLSTATE {state}); \
                 a superuser may say GRANT {ROLE} TO {}",
                target.user, target.user
            ))),
            None => Err(error),
        },
    }
}

/// Tokens of signed addresses: HS256 with the project's secret, as the official
/// server makes them, so that addresses outlive a move in either direction.
struct Hmac(hmac::Key);

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(…)")
    }
}

/// A token longer than this is none of ours.
const TOKEN_BYTES_MAX: usize = 8 << 10;

impl Signer for Hmac {
    fn sign(&self, claims: &Value) -> Option<String> {
        let head = json!({"alg": "HS256", "typ": "JWT"}).to_string();
        let head = URL_SAFE_NO_PAD.encode(head);
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        let signed = format!("{head}.{claims}");
        let tag = hmac::sign(&self.0, signed.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(tag);
        Some(format!("{signed}.{tag}"))
    }

    fn open(&self, token: &str) -> Result<Value, String> {
        let malformed = || "Invalid Compact JWS".to_owned();
        let unsigned = || "signature verification failed".to_owned();
        if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
            return Err(malformed());
        }
        let (signed, tag) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (head, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
        let head: Value = serde_json::from_slice(&decoded(head)?).map_err(|_| malformed())?;
        // What a token says it was signed with is not for the token to choose.
        if head.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err("\"alg\" (Algorithm) Header Parameter value not allowed".to_owned());
        }
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| unsigned())?;
        hmac::verify(&self.0, signed.as_bytes(), &tag).map_err(|_| unsigned())?;
        serde_json::from_slice(&decoded(claims)?).map_err(|_| malformed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_here_is_opened() {
        let ours = Hmac(hmac::Key::new(hmac::HMAC_SHA256, b"a secret"));
        let other = Hmac(hmac::Key::new(hmac::HMAC_SHA256, b"another"));
        let claims = json!({"url": "a/b", "exp": 1});
        let token = ours.sign(&claims).expect("a token");
        assert_eq!(ours.open(&token), Ok(claims));
        assert!(other.open(&token).is_err());
        let (head, rest) = token.split_once('.').expect("three parts");
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let (claims, tag) = rest.split_once('.').expect("three parts");
        let forged = URL_SAFE_NO_PAD.encode(r#"{"url":"c/d","exp":1}"#);
        for bad in [
            format!("{none}.{rest}"),
            format!("{none}.{claims}."),
            format!("{head}.{forged}.{tag}"),
            format!("{head}.{claims}."),
            format!("{head}.{claims}"),
            String::new(),
        ] {
            assert!(ours.open(&bad).is_err(), "{bad}");
        }
    }
}
