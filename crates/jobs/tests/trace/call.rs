//! Events as calls of the database's functions, and as lines for people.

use jobs::model::{Busy, Event, Id, Link, Spec, Time, Until};
use serde_json::{Value, json};

use crate::both::Both;

/// A job that there is not.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// The rest of a call of `finish`, when there is nothing more to say.
const NOTHING_MORE: &str =
    "ARRAY[NULL]::jsonb[], ARRAY[NULL]::jsonb[], ARRAY[NULL]::boolean[], ARRAY[NULL]::interval[]";

/// What the database calls jobs, and the time that it thinks it is.
pub(crate) struct Names<'a> {
    ids: &'a [String],
    now: Time,
}

impl<'a> Names<'a> {
    pub(crate) fn of(both: &'a Both) -> Self {
        Self {
            ids: &both.ids,
            now: both.now,
        }
    }

    fn id(&self, job: Id) -> &str {
        self.ids.get(job).map_or(NOBODY, String::as_str)
    }

    fn wait(&self, key: u32, until: Until) -> Value {
        let key = format!("k{key}");
        match until {
            Until::Children => json!([{"kind": "children", "key": key}]),
            Until::Signal(name) => {
                json!([{"kind": "signal", "key": key, "name": format!("s{name}")}])
            }
            Until::Timer(at) => {
                json!([{"kind": "timer", "key": key, "due_ms": at.saturating_sub(self.now)}])
            }
        }
    }

    fn json(&self, specs: &[Spec]) -> Value {
        let specs = specs
            .iter()
            .enumerate()
            .map(|(place, spec)| self.spec(place, spec));
        specs.collect::<Vec<_>>().into()
    }

    fn spec(&self, place: usize, spec: &Spec) -> Value {
        let after = |at: Option<Time>| at.map(|at| at.saturating_sub(self.now));
        let name = |id: &Id| self.id(*id).to_owned();
        let mut json = json!({
            "ref": format!("r{place}"), "type": if spec.is_group { "group" } else { "work" }, "group": spec.is_group,
            "queue": format!("q{}", spec.queue), "priority": spec.priority, "max_attempts": spec.max_attempts,
            "backoff_ms": spec.backoff_base, "backoff_max_ms": spec.backoff_max,
            "on_child_failure": format!("{:?}", spec.on_child_failure).to_lowercase(), "events": spec.events,
            "delay_ms": after(spec.run_at), "deadline_ms": after(spec.deadline_at), "time_limit_ms": spec.time_limit,
        });
        let fields = json.as_object_mut().unwrap();
        match spec.parent {
            Some(Link::New(of)) => fields.insert("parent_ref".into(), format!("r{of}").into()),
            Some(Link::Old(id)) => fields.insert("parent_id".into(), name(&id).into()),
            None => fields.insert("owner".into(), format!("o{}", spec.owner).into()),
        };
        if !spec.depends_on.is_empty() {
            let on = spec.depends_on.iter().map(|(link, when)| {
                let when = format!("{when:?}").to_lowercase();
                match link {
                    Link::New(of) => json!({"ref": format!("r{of}"), "when": when}),
                    Link::Old(id) => json!({"id": name(id), "when": when}),
                }
            });
            fields.insert("depends_on".into(), on.collect::<Vec<_>>().into());
        }
        if let Some(need) = spec.need {
            fields.insert("need".into(), need.to_string().into());
        }
        if !spec.limit_keys.is_empty() {
            let keys: Vec<String> = spec
                .limit_keys
                .iter()
                .map(|key| format!("l{key}"))
                .collect();
            fields.insert("limit_keys".into(), keys.into());
        }
        if let Some(width) = spec.width {
            fields.insert("width".into(), width.into());
        }
        if let Some((number, hash)) = spec.idempotency {
            fields.insert("idempotency_key".into(), number.to_string().into());
            fields.insert("input".into(), hash.into());
        }
        fields.retain(|_, value| !value.is_null());
        json
    }
}

/// The statement; nothing for what the database decides by itself.
pub(crate) fn sql(names: &Names<'_>, event: &Event) -> Option<String> {
    let id = |job: &Id| format!("'{}'", names.id(*job));
    Some(match event {
        Event::Submit(specs) => format!(
            "SELECT id, is_new FROM work_engine.submit('{}') ORDER BY ordinal",
            names.json(specs)
        ),
        Event::Rescue => "SELECT work_engine.rescue(1000)".into(),
        Event::Promote => "SELECT work_engine.promote(1000)".into(),
        Event::Arrive => "SELECT work_engine.arrive_some(1000)".into(),
        Event::Number => "SELECT work_engine.number_some(1000)".into(),
        Event::Cancel(job) => {
            format!(
                "SELECT id FROM work_engine.cancel({}, 'cancelled')",
                id(job)
            )
        }
        Event::Pause(job) => format!("SELECT id FROM work_engine.pause({})", id(job)),
        Event::Resume(job) => format!("SELECT id FROM work_engine.resume({})", id(job)),
        Event::Retry(job) => format!("SELECT id FROM work_engine.retry({})", id(job)),
        Event::PauseQueue(queue, paused) => format!(
            "INSERT INTO work.queues VALUES ('q{queue}', {paused}) \
             ON CONFLICT (name) DO UPDATE SET paused = {paused}"
        ),
        Event::Signal(job, name, payload, key) => format!(
            "SELECT * FROM work_engine.signal({}, 's{name}', '{payload}', {})",
            id(job),
            key.map_or("NULL".into(), |key| format!("'{key}'"))
        ),
        Event::Claim(..) | Event::Grant(_) => return None,
        by_worker => return worker(names, by_worker),
    })
}

/// What workers say, all of it under a claim's number.
fn worker(names: &Names<'_>, event: &Event) -> Option<String> {
    let id = |job: &Id| format!("'{}'", names.id(*job));
    let finish = |job: &Id, epoch: &u32, how: &str, rest: &str| {
        format!(
            "SELECT state FROM work_engine.finish(ARRAY[{}]::uuid[], ARRAY[{epoch}], \
             ARRAY['{how}'], {rest})",
            id(job)
        )
    };
    Some(match event {
        Event::Spawn(parent, epoch, specs) => format!(
            "SELECT id, is_new FROM work_engine.spawn({}, {epoch}, '{}') ORDER BY ordinal",
            id(parent),
            names.json(specs)
        ),
        Event::Heartbeat(job, epoch, lease) => format!(
            "SELECT directive FROM work_engine.heartbeat('w', ARRAY[{}]::uuid[], ARRAY[{epoch}], \
             ARRAY[NULL]::real[], ARRAY[NULL]::text[], {lease} * interval '1 ms')",
            id(job)
        ),
        Event::Complete(job, epoch) => finish(job, epoch, "completed", NOTHING_MORE),
        Event::Release(job, epoch) => finish(job, epoch, "released", NOTHING_MORE),
        Event::Fail {
            job,
            epoch,
            retryable,
            delay,
            ..
        } => {
            let delay = delay.map_or("NULL".into(), |delay| format!("{delay} * interval '1 ms'"));
            let rest = format!(
                "ARRAY[NULL]::jsonb[], ARRAY['{{\"code\": \"failed\"}}']::jsonb[], \
                 ARRAY[{retryable}], ARRAY[{delay}]::interval[]"
            );
            finish(job, epoch, "failed", &rest)
        }
        Event::StepBegin(job, epoch, key, (version, hash)) => format!(
            "SELECT verdict, result, handle FROM work_engine.step_begin({}, {epoch}, 'k{key}', \
             '{version}', '\\x{hash:08x}'::bytea, NULL, NULL, false)",
            id(job)
        ),
        Event::StepHandle(job, epoch, key, handle) => format!(
            "SELECT * FROM work_engine.step_handle({}, {epoch}, 'k{key}', '{handle}')",
            id(job)
        ),
        Event::StepEnd(job, epoch, key, result) => format!(
            "SELECT * FROM work_engine.step_end({}, {epoch}, 'k{key}', '{result}', NULL, NULL)",
            id(job)
        ),
        Event::StepFail(job, epoch, key) => format!(
            "SELECT * FROM work_engine.step_fail({}, {epoch}, 'k{key}', '{{}}', false)",
            id(job)
        ),
        Event::Suspend(job, epoch, key, until) => format!(
            "SELECT * FROM work_engine.suspend({}, {epoch}, '{}')",
            id(job),
            names.wait(*key, *until)
        ),
        _ => return None,
    })
}

/// What differs from the usual.
pub(crate) fn brief(event: &Event) -> String {
    let (below, specs) = match event {
        Event::Submit(specs) => ("Submit".to_owned(), specs),
        Event::Spawn(job, epoch, specs) => (format!("Spawn({job}, {epoch})"), specs),
        other => return format!("{other:?}"),
    };
    let usual = format!("{:?}", Spec::default());
    let usual: Vec<&str> = usual.split(", ").collect();
    let specs = specs.iter().map(|spec| {
        let text = format!("{spec:?}");
        let own = text
            .split(", ")
            .filter(|field| !usual.contains(field) && !field.starts_with("backoff"));
        own.collect::<Vec<_>>().join(", ")
    });
    format!("{below}\n    {}", specs.collect::<Vec<_>>().join("\n    "))
}

pub(crate) fn locks(busy: &Busy) -> String {
    if *busy == Busy::default() {
        return String::new();
    }
    format!(
        "while jobs {:?} and logs {:?} are locked",
        busy.jobs, busy.streams
    )
}
