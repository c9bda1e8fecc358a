//! The log: numbers without gaps, given in the transaction that made an event
//! true, unless somebody else has the log; then by whoever has it next.

use super::event::Busy;
use super::world::{Id, Stream, Told, World};

/// Writes what an event told, stream by stream.
pub(super) fn append(world: &mut World, told: &[(Id, Told)], busy: &Busy) {
    for (id, told) in told {
        let stream = world.streams.entry(*id).or_default();
        stream.unnumbered.push(*told);
        if !busy.streams.contains(id) {
            stream.number();
        }
    }
}

/// Numbers what was left in every log that is free.
pub(super) fn number(world: &mut World, busy: &Busy) {
    for (id, stream) in &mut world.streams {
        if !busy.streams.contains(id) {
            stream.number();
        }
    }
}

impl Stream {
    /// What came first gets the first number.
    fn number(&mut self) {
        for told in self.unnumbered.drain(..) {
            self.last_seq += 1;
            self.events.push((self.last_seq, told));
        }
    }
}
