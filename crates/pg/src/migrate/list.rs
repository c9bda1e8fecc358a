//! The history itself, in the one place that names the files.
//!
//! Append only. A file that was released keeps its text for ever: databases
//! remember its checksum and refuse to start with another.

use super::Migration;

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../../migrations/", $file)),
        }
    };
}

/// Every migration of schemas that Ferrobase owns, in order.
pub const MIGRATIONS: &[Migration] = &[
    migration!(1, "ledger", "0001_ledger.sql"),
    migration!(2, "roles", "0002_roles.sql"),
    migration!(3, "schemas", "0003_schemas.sql"),
    migration!(4, "auth", "0004_auth.sql"),
    migration!(5, "services", "0005_services.sql"),
    migration!(6, "change_watch", "0006_change_watch.sql"),
    migration!(7, "table_guard", "0007_table_guard.sql"),
    migration!(8, "idempotency", "0008_idempotency.sql"),
    migration!(9, "api_settings", "0009_api_settings.sql"),
    migration!(10, "auth_room", "0010_auth_room.sql"),
    migration!(11, "auth_room_rest", "0011_auth_room_rest.sql"),
    migration!(12, "mail", "0012_mail.sql"),
    migration!(13, "api_keys", "0013_api_keys.sql"),
    migration!(14, "work", "0014_work.sql"),
    migration!(15, "work_access", "0015_work_access.sql"),
    migration!(16, "work_events", "0016_work_events.sql"),
    migration!(17, "work_arrivals", "0017_work_arrivals.sql"),
    migration!(18, "work_submit", "0018_work_submit.sql"),
    migration!(19, "work_submit_rest", "0019_work_submit_rest.sql"),
    migration!(20, "work_run", "0020_work_run.sql"),
    migration!(21, "work_duties", "0021_work_duties.sql"),
    migration!(22, "work_control", "0022_work_control.sql"),
    migration!(23, "work_steps", "0023_work_steps.sql"),
    migration!(24, "work_budgets", "0024_work_budgets.sql"),
    migration!(25, "work_limits", "0025_work_limits.sql"),
    migration!(26, "work_waits", "0026_work_waits.sql"),
    migration!(27, "work_answers", "0027_work_answers.sql"),
    migration!(28, "work_schedules", "0028_work_schedules.sql"),
    migration!(29, "work_waits_check", "0029_work_waits_check.sql"),
    migration!(30, "work_api", "0030_work_api.sql"),
    migration!(31, "work_api_rest", "0031_work_api_rest.sql"),
    migration!(32, "work_plans_api", "0032_work_plans_api.sql"),
    migration!(33, "sessions", "0033_sessions.sql"),
    migration!(34, "session_rules", "0034_session_rules.sql"),
    migration!(35, "session_files", "0035_session_files.sql"),
    migration!(36, "session_checkpoints", "0036_session_checkpoints.sql"),
    migration!(37, "session_views", "0037_session_views.sql"),
    migration!(38, "session_outside", "0038_session_outside.sql"),
    migration!(39, "streams", "0039_streams.sql"),
    migration!(40, "streams_api", "0040_streams_api.sql"),
    migration!(41, "work_circles", "0041_work_circles.sql"),
    migration!(42, "storage", "0042_storage.sql"),
    migration!(43, "storage_functions", "0043_storage_functions.sql"),
    migration!(44, "storage_listing", "0044_storage_listing.sql"),
    migration!(45, "storage_search", "0045_storage_search.sql"),
    migration!(46, "storage_engine", "0046_storage_engine.sql"),
    migration!(47, "work_retention", "0047_work_retention.sql"),
    migration!(48, "storage_sweep", "0048_storage_sweep.sql"),
    migration!(49, "resumable_uploads", "0049_resumable_uploads.sql"),
    migration!(50, "work_prune", "0050_work_prune.sql"),
    migration!(51, "storage_s3", "0051_storage_s3.sql"),
    migration!(52, "work_hot", "0052_work_hot.sql"),
    migration!(53, "work_hot_run", "0053_work_hot_run.sql"),
    migration!(54, "work_hot_duties", "0054_work_hot_duties.sql"),
    migration!(55, "work_hot_gates", "0055_work_hot_gates.sql"),
    migration!(56, "work_prune_once", "0056_work_prune_once.sql"),
    migration!(57, "storage_level", "0057_storage_level.sql"),
    migration!(58, "resumable_bounds", "0058_resumable_bounds.sql"),
    migration!(59, "ai", "0059_ai.sql"),
    migration!(60, "ai_engine", "0060_ai_engine.sql"),
    migration!(61, "sandboxes", "0061_sandboxes.sql"),
    migration!(62, "work_events_together", "0062_work_events_together.sql"),
];
