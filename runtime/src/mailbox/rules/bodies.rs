//! Which bodies are in memory. The others are in the store, and are read when their turn comes near.

use everpost_persistence::Position;

use super::{Queue, Rules, Source};

impl<B: Clone> Rules<B> {
    /// Brings bodies that [`Next::Load`](super::Next::Load) asked for, in the same order. Those that are kept are told
    /// to `kept`; those of messages that are gone are dropped.
    pub(crate) fn loaded(&mut self, bodies: impl IntoIterator<Item = (Position, B)>, mut kept: impl FnMut(&B)) {
        for (position, body) in bodies {
            if self.keep(position, body.clone()) {
                kept(&body);
            }
        }
        self.normal.shrink();
    }

    /// Keeps a body where its message waits. False when it is not the next one there, or has its body.
    fn keep(&mut self, position: Position, body: B) -> bool {
        let Err(body) = self.normal.loaded(position, body) else { return true };
        let Some(unusual) = self.unusual.as_deref_mut() else { return false };
        let aside = unusual.levels_mut().try_fold(body, |body, level| level.loaded(position, body).err());
        let Some(body) = aside else { return true };
        let moment = self.failures.get(&position).map(|failures| failures.not_before);
        let waiting = moment.and_then(|moment| unusual.aside.get_mut((moment, position)));
        match waiting.filter(|waiting| waiting.is_none()) {
            Some(waiting) => {
                *waiting = Some(body);
                true
            }
            None => false,
        }
    }

    /// Drops the bodies of messages that are in the store, except those that are in flight or held. They are loaded
    /// again when it is their turn. Tells each body.
    pub(crate) fn leave_to_the_store(&mut self, durable: Position, mut left: impl FnMut(&B)) {
        let (queue, aside) = match self.in_flight {
            Some(Source::Level(queue)) => (Some(queue), None),
            Some(Source::SetAside(moment, position)) => (None, Some((moment, position))),
            None => (None, None),
        };
        let Self { normal, unusual, .. } = self;
        normal.leave_to_the_store(usize::from(queue == Some(Queue::default())), durable, &mut left);
        if let Some(unusual) = unusual.as_deref_mut() {
            for of in Queue::all().filter(|of| *of != Queue::default()) {
                if let Some(level) = unusual.made_level_mut(of) {
                    level.leave_to_the_store(usize::from(queue == Some(of)), durable, &mut left);
                }
            }
            unusual.aside.leave_to_the_store(aside, durable, &mut left);
        }
    }
}
