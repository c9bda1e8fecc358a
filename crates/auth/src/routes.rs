//! The endpoints, a file for each group of them. A handler names what it needs
//! as arguments (`Call`, `SignedIn`, `Admin`) and returns a `Result`.

pub(crate) mod admin_audit;
pub(crate) mod admin_factors;
pub(crate) mod admin_links;
pub(crate) mod admin_users;
pub(crate) mod callback;
pub(crate) mod disabled;
pub(crate) mod external;
pub(crate) mod factors;
pub(crate) mod id_token;
pub(crate) mod identities;
pub(crate) mod logout;
pub(crate) mod oauth_clients;
pub(crate) mod oauth_consent;
pub(crate) mod oauth_page;
pub(crate) mod oauth_token;
pub(crate) mod otp;
pub(crate) mod pages;
pub(crate) mod passkeys;
pub(crate) mod signup;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod verify;
pub(crate) mod well_known;
