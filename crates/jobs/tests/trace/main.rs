//! The engine under random lives: the model alone, ten thousand times, and the
//! model beside the functions of the database.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod both;
mod call;
mod choose;
mod compare;
mod dice;
mod lives;
mod rest;
mod shapes;
mod shop;
mod simulate;
mod traces;
