//! Every state that a mailbox, its supervisor, its gate and its line can come to is gone through, with every step that
//! can be next. From each of them, what has begun is run to its end: nothing may be left that nobody looks at.

use std::collections::HashSet;

use super::*;

/// A mailbox and all who have to do with its doorbell. Each step is what happens under one lock.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    bell: Doorbell<()>,
    /// Messages that may be handled.
    visible: u8,
    /// One that is not durable yet.
    hidden: bool,
    /// The gate was told to ring.
    gate: bool,
    /// Starts that the supervisor was told of.
    orders: u8,
    /// Places in the line.
    in_line: u8,
    activation: Option<Activation>,
    /// The wait after an activation that has failed.
    is_backing_off: bool,
    /// Somebody waits for what is here.
    is_awaited: bool,
    /// A group has it down.
    is_down: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Activation {
    /// It is about to look.
    Looks,
    /// It has looked, and is about to clear the bell: one that does so in the wrong order.
    Clears,
    /// It is about to come to the doorbell.
    Comes,
    Listens,
    /// It was woken, and comes to the doorbell again.
    Woken,
    /// It has left, and its supervisor has not seen that.
    Left,
}

/// What one of them does wrong, to show that it is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The activation clears the bell after it has looked, in a step of its own.
    ClearsAfterLooking,
    /// The supervisor does not see that one that left was rung.
    ForgetsRung,
    /// The gate rings and stays told.
    StaysGated,
    /// The sender rings only where an activation runs.
    StartsNobody,
}

impl World {
    fn new() -> Self {
        Self {
            bell: Doorbell::new(),
            visible: 0,
            hidden: false,
            gate: false,
            orders: 0,
            in_line: 0,
            activation: None,
            is_backing_off: false,
            is_awaited: false,
            is_down: false,
        }
    }

    fn demand(&self) -> Demand {
        match () {
            () if self.is_down || (self.visible == 0 && !self.hidden) => Demand::No,
            () if self.is_awaited => Demand::InAnyCase,
            () => Demand::Yes,
        }
    }

    fn stay(&self) -> Stay {
        if self.is_down { Stay::No } else { Stay::UntilTold }
    }

    /// Rings. Whether there is a place for an activation is open: all that may follow are returned.
    fn ring(mut self) -> Vec<Self> {
        let demand = self.demand();
        match self.bell.ring(|| demand) {
            Rung::Seen => vec![self],
            Rung::Wake(()) => {
                self.wake(());
                vec![self]
            }
            Rung::Start { in_any_case } => {
                let ordered = self.clone().order();
                self.bell.started(Start::Waits);
                self.in_line += 1;
                if in_any_case { vec![ordered] } else { vec![ordered, self] }
            }
        }
    }

    fn order(mut self) -> Self {
        self.bell.started(Start::Ordered);
        self.orders += 1;
        self
    }

    fn wake(&mut self, (): ()) {
        assert_eq!(self.activation, Some(Activation::Listens), "only one that listens is woken");
        self.activation = Some(Activation::Woken);
    }

    /// What others may do at any moment.
    fn done_to(&self, fault: Fault) -> Vec<Self> {
        let with = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            next
        };
        let mut next = self.clone().ring();
        if self.visible < 2 {
            let sent = with(&|next| next.visible += 1);
            let is_missed = fault == Fault::StartsNobody && self.activation.is_none();
            next.extend(if is_missed { vec![sent] } else { sent.ring() });
        }
        if self.visible > 0 {
            // It expires, or is taken out.
            next.push(with(&|next| {
                next.visible -= 1;
                next.is_awaited &= next.visible > 0;
            }));
        }
        if !self.hidden {
            next.push(with(&|next| {
                next.hidden = true;
                next.gate |= next.bell.gate();
            }));
        }
        if !self.is_awaited && self.visible > 0 {
            next.extend(with(&|next| next.is_awaited = true).ring());
        }
        next.push(with(&|next| {
            next.bell.tell_to_leave(next.stay()).into_iter().for_each(|()| next.activation = Some(Activation::Woken))
        }));
        next.push(with(&|next| next.bell.wake().into_iter().for_each(|()| next.activation = Some(Activation::Woken))));
        if !self.is_down {
            next.push(with(&|next| {
                next.is_down = true;
                next.bell.leave_queue();
                next.bell.wake().into_iter().for_each(|()| next.activation = Some(Activation::Woken));
            }));
        }
        if matches!(self.activation, Some(Activation::Looks | Activation::Comes)) {
            next.push(with(&|next| next.bell.leave_when_idle()));
            // It fails, with a message or without.
            next.push(with(&|next| {
                next.activation = None;
                next.is_backing_off = true;
                next.bell.back_off();
            }));
            next.extend(
                with(&|next| {
                    next.activation = None;
                    next.bell.vacate();
                })
                .ring(),
            );
        }
        next
    }

    fn place_given(&self) -> Vec<Self> {
        let mut next = self.clone();
        next.in_line -= 1;
        let demand = next.demand();
        let is_wanted = next.bell.place_given(|| demand);
        vec![if is_wanted { next.order() } else { next }]
    }

    /// What was begun and goes on by itself.
    fn by_itself(&self, fault: Fault) -> Vec<Vec<Self>> {
        let mut next = Vec::new();
        if self.orders > 0 {
            let mut begun = self.clone();
            begun.orders -= 1;
            begun.bell.begun();
            begun.activation = Some(Activation::Looks);
            next.push(vec![begun]);
        }
        if self.gate {
            let mut open = self.clone();
            open.gate = false;
            open.hidden = false;
            open.visible = (open.visible + 1).min(2);
            if fault != Fault::StaysGated {
                open.bell.gate_opened();
            }
            next.push(open.ring());
        }
        if self.in_line > 0 {
            next.push(self.place_given());
        }
        if self.is_backing_off {
            let mut over = self.clone();
            over.is_backing_off = false;
            over.bell.vacate();
            next.push(over.ring());
        }
        if self.is_down && self.bell.is_vacant() {
            let mut up = self.clone();
            up.is_down = false;
            next.push(up.ring());
        }
        next.extend(self.activation.map(|activation| self.goes_on(activation, fault)));
        next
    }

    fn goes_on(&self, activation: Activation, fault: Fault) -> Vec<Self> {
        let mut next = self.clone();
        match activation {
            Activation::Looks => {
                if fault != Fault::ClearsAfterLooking {
                    next.bell.look();
                }
                let is_clear = fault != Fault::ClearsAfterLooking;
                next.activation = Some(match next.visible {
                    0 if is_clear => Activation::Comes,
                    0 => Activation::Clears,
                    _ if next.is_down => Activation::Comes,
                    _ => Activation::Looks,
                });
                if !next.is_down {
                    next.visible = next.visible.saturating_sub(1);
                    next.is_awaited &= next.visible > 0;
                    if next.hidden && self.visible == 0 {
                        next.gate |= next.bell.gate();
                    }
                }
            }
            Activation::Clears => {
                next.bell.look();
                next.activation = Some(Activation::Comes);
            }
            Activation::Comes | Activation::Woken => {
                let stay = next.stay();
                next.activation = Some(match next.bell.listen(stay, || ()) {
                    Listened::Rung => Activation::Looks,
                    Listened::Waits => Activation::Listens,
                    Listened::Leaves => Activation::Left,
                });
            }
            Activation::Listens => return Vec::new(),
            Activation::Left => {
                next.activation = None;
                let has_left = next.bell.vacate() || fault == Fault::ForgetsRung;
                if next.demand() != Demand::No && !has_left {
                    return next.ring();
                }
            }
        }
        vec![next]
    }

    /// Nothing new happens, and what was begun goes on until nothing does.
    fn settled(mut self, fault: Fault) -> Self {
        for _ in 0..100 {
            let next = self.by_itself(fault).into_iter().flatten().find(|next| *next != self);
            match next {
                Some(next) => self = next,
                None => return self,
            }
        }
        panic!("it goes on for ever");
    }

    fn is_sound(&self, fault: Fault) -> Result<(), &'static str> {
        let there = u8::from(self.activation.is_some()) + self.orders + u8::from(self.is_backing_off);
        if there > 1 {
            return Err("two activations");
        }
        let settled = self.clone().settled(fault);
        if settled.visible > 0 || settled.hidden {
            return Err("a message that nobody looks at");
        }
        Ok(())
    }
}

/// Goes through all states. Returns how many there are, or what is wrong in one of them.
fn explore(fault: Fault) -> Result<usize, &'static str> {
    let (mut seen, mut open) = (HashSet::new(), vec![World::new()]);
    while let Some(world) = open.pop() {
        if world.in_line > 3 || !seen.insert(world.clone()) {
            continue;
        }
        world.is_sound(fault)?;
        open.extend(world.done_to(fault));
        open.extend(world.by_itself(fault).into_iter().flatten());
    }
    Ok(seen.len())
}

#[test]
fn in_no_state_is_there_work_that_nobody_looks_at_or_two_activations() {
    let states = explore(Fault::None).unwrap();
    assert!(states > 1000, "only {states} states were gone through");
}

#[test]
fn whoever_breaks_the_rule_is_found() {
    for fault in [Fault::ClearsAfterLooking, Fault::ForgetsRung, Fault::StaysGated, Fault::StartsNobody] {
        assert_eq!(explore(fault), Err("a message that nobody looks at"));
    }
}

#[test]
fn an_activation_that_was_rung_does_not_wait_before_it_has_looked() {
    let mut bell = running();
    assert_eq!(bell.listen(Stay::UntilTold, || 1), Listened::Rung, "it has not looked since it began");
    bell.look();
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Seen);
    assert_eq!(bell.listen(Stay::UntilTold, || 1), Listened::Rung);
    bell.look();
    assert_eq!(bell.listen(Stay::UntilTold, || 1), Listened::Waits);
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Wake(1));
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Seen, "it is awake");
}

#[test]
fn who_is_told_to_leave_stays_where_something_comes_up_at_once() {
    let mut bell = running();
    bell.look();
    bell.leave_when_idle();
    assert!(bell.gate() && !bell.gate(), "the gate is told once");
    assert_eq!(bell.listen(Stay::UntilTold, || 1), Listened::Waits, "the gate will ring");
    assert_eq!(bell.tell_to_leave(Stay::UntilTold), None);
    bell.gate_opened();
    assert_eq!(bell.tell_to_leave(Stay::Yes), None);
    assert_eq!(bell.tell_to_leave(Stay::UntilTold), Some(1));
    assert_eq!(bell.listen(Stay::UntilTold, || 1), Listened::Leaves);
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Seen, "whoever sees its end rings");
    assert!(!bell.vacate() && bell.is_vacant());
}

#[test]
fn who_has_to_leave_does_whatever_rings() {
    let mut bell = running();
    assert_eq!(bell.listen(Stay::No, || 1), Listened::Leaves);
    assert!(!bell.vacate(), "it was rung");
}

#[test]
fn a_place_is_used_only_by_a_mailbox_that_still_waits_for_one() {
    let mut bell = Doorbell::<u8>::new();
    assert_eq!(bell.ring(|| Demand::No), Rung::Seen);
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Start { in_any_case: false });
    bell.started(Start::Waits);
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Seen, "it waits in the line");
    assert_eq!(bell.ring(|| Demand::InAnyCase), Rung::Start { in_any_case: true });
    bell.started(Start::Ordered);
    assert!(!bell.place_given(|| Demand::Yes), "it has started without");
    bell.begun();
    bell.vacate();
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Start { in_any_case: false });
    bell.started(Start::Waits);
    assert!(!bell.place_given(|| Demand::No), "nothing is left to do");
    assert!(bell.is_vacant());
}

#[test]
fn the_wheel_rings_at_the_first_of_all_moments() {
    let mut index = crate::base::rules::wheel::Index::default();
    let mut bell = Doorbell::<u8>::new();
    let mut first = None;
    for moment in [20, 30, 10] {
        bell.set_alarm(Steady(moment), |moved| {
            let entry = index.set(Steady(moment), ()).0;
            assert_eq!(moved, first.replace(entry), "it is in the place of the one before");
            entry
        });
    }
    let first = first.unwrap();
    assert_eq!(first.moment, Steady(10));
    bell.alarm_went(index.set(Steady(1), ()).0);
    assert_eq!(bell.take_alarm(), Some(first), "that was another one");
}

fn running() -> Doorbell<u8> {
    let mut bell = Doorbell::new();
    assert_eq!(bell.ring(|| Demand::Yes), Rung::Start { in_any_case: false });
    bell.started(Start::Ordered);
    bell.begun();
    bell
}
