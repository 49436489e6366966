//! Range scans against a map, wherever commits and checkpoints fall between two steps.

use std::collections::BTreeMap;

use super::*;
use crate::key::tests::any_key;
use crate::range::{Range, RangeStep, is_between};
use crate::table::Table;

/// What to read: the table, whether one partition of it, from where on, and in which direction.
#[derive(Debug, Clone)]
struct Wanted {
    table: Table,
    partition: Option<u16>,
    start: Option<(Key, bool)>,
    is_backwards: bool,
    records_max: usize,
    bytes_max: usize,
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let table = prop::sample::select(declared::SCHEMA.tables());
    let start = prop::option::of((any_key(), any::<bool>()));
    let steps = (0..6_usize, prop_oneof![Just(0), Just(10), Just(usize::MAX)]);
    (table, prop::option::of(0..3_u16), start, any::<bool>(), steps).prop_map(
        |(table, partition, start, is_backwards, (records_max, bytes_max))| Wanted {
            table,
            partition: partition.filter(|_| table.id().is_partitioned()),
            start: start.filter(|(key, _)| key.table() == table.id()),
            is_backwards,
            records_max,
            bytes_max,
        },
    )
}

impl Wanted {
    fn range(&self) -> Range {
        let mut range = Range::of(&self.table);
        if let Some(partition) = self.partition {
            range = range.within(Partition(partition));
        }
        range = match self.start {
            Some((key, true)) => range.from(key),
            Some((key, false)) => range.after(key),
            None => range,
        };
        if self.is_backwards { range.backwards() } else { range }
    }

    /// The same from a map.
    fn of(&self, records: &BTreeMap<Key, Bytes>) -> Vec<(Key, Bytes)> {
        let is_wanted = |key: &Key| {
            let is_here = self.partition.is_none_or(|partition| key.partition() == Some(Partition(partition)));
            let is_reached = self.start.is_none_or(|(start, is_included)| {
                let is_behind = if self.is_backwards { *key < start } else { *key > start };
                is_behind || (is_included && *key == start)
            });
            key.table() == self.table.id() && is_here && is_reached
        };
        let wanted = records.iter().filter(|(key, _)| is_wanted(key)).map(|(key, value)| (*key, value.clone()));
        if self.is_backwards { wanted.rev().collect() } else { wanted.collect() }
    }
}

/// Reads a range to its end; between two steps `meanwhile` may change the store.
fn read(run: &mut Run, wanted: &Wanted, mut meanwhile: impl FnMut(&mut Run)) -> Vec<(Key, Bytes)> {
    let (mut found, mut rest) = (Vec::new(), Some(wanted.range()));
    while let Some(range) = rest {
        let step: RangeStep = run.store.range(&range, wanted.records_max, wanted.bytes_max).unwrap();
        assert!(step.records.len() <= wanted.records_max.max(1));
        let bytes: usize = step.records.iter().map(|(_, value)| value.len()).sum();
        assert!(bytes <= wanted.bytes_max || step.records.len() == 1, "{bytes}");
        found.extend(step.records);
        rest = step.rest;
        meanwhile(run);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_those_of_a_map(
        actions in prop::collection::vec((any_action(), any_wanted()), 1..25),
    ) {
        let folder = folder();
        let (mut caller, mut oracle) = (Caller::default(), Oracle::default());
        let mut run = Run::open(folder.path());
        for (action, wanted) in &actions {
            match action {
                Action::Turn(steps) => run.turn(steps, &mut caller, &mut oracle),
                Action::Freeze => run.freeze(),
                Action::Apply => run.apply(),
                Action::Thaw => run.thaw(),
                Action::Close | Action::Crash => {
                    drop(run);
                    run = Run::open(folder.path());
                }
            }
            let expected = wanted.of(&oracle.records);
            prop_assert_eq!(read(&mut run, wanted, |_| ()), expected.clone(), "{:?}", wanted);
            // A checkpoint between two steps changes where records are, and not which there are.
            let mut turn = 0;
            let found = read(&mut run, wanted, |run| {
                turn += 1;
                match turn % 3 {
                    0 => run.freeze(),
                    1 => run.apply(),
                    _ => run.thaw(),
                }
            });
            prop_assert_eq!(found, expected);
        }
    }

    /// Of what is committed between two steps, a range passes what lies behind them, and sees what lies before.
    #[test]
    fn a_step_sees_what_was_committed_before_it(
        turns in prop::collection::vec(any_turn(), 1..12),
        wanted in any_wanted(),
    ) {
        let folder = folder();
        let (mut caller, mut oracle) = (Caller::default(), Oracle::default());
        let run = Run::open(folder.path());
        let mut turns = turns.into_iter();
        run.turn(&turns.next().unwrap(), &mut caller, &mut oracle);
        let mut rest = Some(wanted.range());
        while let Some(range) = rest {
            let step = run.store.range(&range, wanted.records_max, usize::MAX).unwrap();
            let last = step.records.last().map(|&(key, _)| key);
            let is_before = |key: &Key, last: Key| if wanted.is_backwards { *key >= last } else { *key <= last };
            let is_passed = |key: &Key| last.is_none_or(|last| is_before(key, last));
            let bounds = range.bounds();
            let of_range = wanted.of(&oracle.records).into_iter();
            let of_range: Vec<_> = of_range.filter(|(key, _)| is_between(key, &bounds)).collect();
            if step.rest.is_none() {
                prop_assert_eq!(&step.records, &of_range);
            } else if last.is_some() {
                let passed: Vec<_> = of_range.into_iter().filter(|(key, _)| is_passed(key)).collect();
                prop_assert_eq!(&step.records, &passed);
            }
            rest = step.rest;
            if let Some(steps) = turns.next() {
                run.turn(&steps, &mut caller, &mut oracle);
            }
        }
    }
}

/// Deleted records in memory are passed in steps as well: none of them reads everything.
#[test]
fn a_step_over_many_deletions_ends_and_goes_on() {
    let folder = folder();
    let mut run = Run::open(folder.path());
    let key = |number: u64| declared::dead_letter(Position(1 + number));
    let submit = |run: &Run, change: &dyn Fn(&mut Stage<'_>)| {
        let permit = run.store.try_reserve(Class::Turn { growth: 0 }, 0).unwrap();
        let (ticket, ()) = run.store.submit(permit, |stage| change(stage));
        run.settle(ticket);
    };
    submit(&run, &|stage| (0..200).for_each(|number| stage.put(key(number), Bytes::from_static(b"x"))));
    run.freeze();
    run.apply();
    run.thaw();
    submit(&run, &|stage| (0..199).for_each(|number| stage.delete(key(number))));
    let (mut steps, mut rest, mut found) = (0, Some(Range::of(&declared::DEAD_LETTERS)), Vec::new());
    while let Some(range) = rest {
        let step = run.store.range(&range, 10, usize::MAX).unwrap();
        found.extend(step.records.into_iter().map(|(key, _)| key));
        rest = step.rest;
        steps += 1;
    }
    assert_eq!(found, [key(199)]);
    assert!((19..=21).contains(&steps), "{steps}");
}
