//! The protocol against PostgreSQL and a folder: signed requests in, documents
//! out. What official clients make of it is asked by `tests/clients/py`.

mod attacks;
mod bench;
mod parts;
