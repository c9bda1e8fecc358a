//! How errors look on the wire.

use super::*;

async fn body(response: Response) -> String {
    use http_body_util::BodyExt as _;
    let bytes = response.into_body().collect().await;
    String::from_utf8_lossy(&bytes.expect("a body in memory").to_bytes()).into_owned()
}

#[tokio::test]
async fn each_version_has_its_words() {
    let error = AuthError::not_found(code::USER_NOT_FOUND, "User not found");
    let old = error.render(ApiVersion::Initial);
    assert_eq!(old.headers().get(&API_VERSION), None);
    assert_eq!(old.headers()["x-sb-error-code"], "user_not_found");
    assert_eq!(
        body(old).await,
        r#"{"code":404,"error_code":"user_not_found","msg":"User not found"}"#
    );
    let new = error.render(ApiVersion::V20240101);
    assert_eq!(new.headers()[&API_VERSION], "2024-01-01");
    assert_eq!(
        body(new).await,
        r#"{"code":"user_not_found","message":"User not found"}"#
    );
    let weak = AuthError::WeakPassword {
        message: "Too short.".to_owned(),
        reasons: vec!["length"],
    };
    assert_eq!(
        body(weak.render(ApiVersion::V20240101)).await,
        r#"{"code":"weak_password","message":"Too short.","weak_password":{"reasons":["length"]}}"#
    );
}

#[test]
fn versions_are_dates() {
    for (asked, version) in [
        (None, ApiVersion::Initial),
        (Some("nonsense"), ApiVersion::Initial),
        (Some("2023-12-31"), ApiVersion::Initial),
        (Some("2024-01-01"), ApiVersion::V20240101),
        (Some("2031-05-05"), ApiVersion::V20240101),
    ] {
        assert_eq!(ApiVersion::asked(asked), version, "{asked:?}");
    }
}
