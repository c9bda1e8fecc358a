//! Steps, waits, budgets, limits and schedules, on a real database: what the
//! functions of `work_engine` promise to those who call them.

#![expect(clippy::indexing_slicing, reason = "tests")]

mod answers;
mod budgets;
mod chaos;
mod limits;
mod over_http;
mod schedules;
mod steps;
mod support;
mod waiting;
