//! The endpoints, a file for each group of them. A handler names what it needs
//! as arguments (`Call`, `SignedIn`, `Admin`) and returns a `Result`.

pub(crate) mod well_known;
