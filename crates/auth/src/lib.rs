//! The GoTrue dialect: who somebody is, and how they prove it.

pub mod limits;
pub mod password;
pub mod totp;
