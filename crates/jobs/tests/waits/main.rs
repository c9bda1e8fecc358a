//! Steps, waits, budgets, limits and schedules, on a real database: what the
//! functions of `work_engine` promise to those who call them.

mod answers;
mod budgets;
mod limits;
mod schedules;
mod steps;
mod support;
mod waiting;
