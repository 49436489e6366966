//! One story for each rule.

use super::model::{SECOND, Step, at_once, when_ready};
use super::*;
use Restart::{Permanent, Temporary, Transient};

const PLENTY: Budget = Budget::new(100, Duration::from_secs(60));

fn start(place: usize, incarnation: u64) -> Action {
    Action::Start(Place(place), Incarnation(incarnation))
}

fn stop(place: usize) -> Action {
    Action::Stop(Place(place))
}

fn kill(place: usize) -> Action {
    Action::Kill(Place(place))
}

fn begun(strategy: Strategy, budget: Budget, terms: &[Terms]) -> Group {
    let mut group = Group::new(strategy, budget, terms);
    group.begin();
    group
}

/// Lets steps happen one after another; returns what was started, stopped and killed.
fn tell(group: &mut Group, steps: &[Step]) -> Vec<Action> {
    let of_children = |action: &Action| matches!(action, Action::Start(..) | Action::Stop(_) | Action::Kill(_));
    steps.iter().flat_map(|step| group.step(*step)).filter(of_children).collect()
}

/// A note is written, and the wait before a restart passes.
const AND_BACK: [Step; 2] = [Step::NoteIsWritten, Step::TimePasses];

#[test]
fn children_start_in_order_each_when_those_before_it_are_ready() {
    let mut group =
        Group::new(Strategy::OneForOne, PLENTY, &[at_once(Permanent), when_ready(Permanent), at_once(Permanent)]);
    assert_eq!(group.begin(), [start(0, 1), start(1, 1)]);
    assert_eq!(group.step(Step::IsReady(1)), [start(2, 1), Action::Started]);
}

#[test]
fn a_group_without_children_starts_and_stops() {
    let mut group = Group::new(Strategy::OneForAll, PLENTY, &[]);
    assert_eq!(group.begin(), [Action::Started]);
    assert_eq!(group.step(Step::Stop), [Action::End(Ending::Stopped)]);
}

#[test]
fn children_stop_in_reverse_order_one_after_another() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 3]);
    assert_eq!(group.step(Step::Stop), [stop(2)]);
    assert_eq!(group.step(Step::IsDone(2)), [stop(1)]);
    assert_eq!(group.step(Step::Fails(1)), [stop(0)], "an end on request is no failure, however it looks");
    assert_eq!(group.step(Step::IsDone(0)), [Action::End(Ending::Stopped)]);
}

#[test]
fn one_for_one_restarts_the_failed_one_alone() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 3]);
    assert_eq!(tell(&mut group, &[Step::Fails(1)]), []);
    assert_eq!(tell(&mut group, &AND_BACK), [start(1, 2)]);
}

#[test]
fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let mut group = begun(Strategy::OneForAll, PLENTY, &[at_once(Permanent); 3]);
    assert_eq!(tell(&mut group, &[Step::Fails(1), Step::IsDone(2), Step::IsDone(0)]), [stop(2), stop(0)]);
    assert_eq!(tell(&mut group, &AND_BACK), [start(0, 2), start(1, 2), start(2, 2)]);
}

#[test]
fn rest_for_one_restarts_exactly_the_later_ones_in_order() {
    let mut group = begun(Strategy::RestForOne, PLENTY, &[at_once(Permanent); 4]);
    assert_eq!(tell(&mut group, &[Step::Fails(1), Step::IsDone(3), Step::IsDone(2)]), [stop(3), stop(2)]);
    assert_eq!(tell(&mut group, &AND_BACK), [start(1, 2), start(2, 2), start(3, 2)]);
    assert_eq!(group.live(), [0, 1, 2, 3]);
}

#[test]
fn a_failure_further_in_front_widens_what_is_being_restarted() {
    let mut group = begun(Strategy::RestForOne, PLENTY, &[at_once(Permanent); 4]);
    assert_eq!(tell(&mut group, &[Step::Fails(2)]), [stop(3)]);
    assert_eq!(tell(&mut group, &[Step::Fails(1), Step::IsDone(3)]), []);
    assert_eq!(tell(&mut group, &AND_BACK), [start(1, 2), start(2, 2), start(3, 2)]);
}

#[test]
fn a_child_that_fails_while_its_turn_to_stop_comes_is_not_counted() {
    let budget = Budget::new(1, 60 * SECOND);
    let mut group = begun(Strategy::OneForAll, budget, &[at_once(Permanent); 3]);
    assert_eq!(tell(&mut group, &[Step::Fails(1), Step::Fails(0), Step::Fails(2)]), [stop(2)]);
    assert_eq!(tell(&mut group, &AND_BACK), [start(0, 2), start(1, 2), start(2, 2)]);
}

#[test]
fn each_kind_of_child_is_restarted_as_it_says() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for (restart, end, restarted) in [
            (Permanent, Step::IsDone(0), true),
            (Permanent, Step::Fails(0), true),
            (Transient, Step::IsDone(0), false),
            (Transient, Step::Fails(0), true),
            (Temporary, Step::IsDone(0), false),
            (Temporary, Step::Fails(0), false),
        ] {
            let mut group = begun(strategy, PLENTY, &[at_once(restart)]);
            let expected = if restarted { vec![start(0, 2)] } else { Vec::new() };
            assert_eq!(
                tell(&mut group, &[end, AND_BACK[0], AND_BACK[1]]),
                expected,
                "{strategy:?} {restart:?} {end:?}"
            );
        }
    }
}

#[test]
fn together_with_others_a_done_transient_is_started_again_and_a_temporary_never() {
    let terms = [at_once(Permanent), at_once(Transient), at_once(Temporary), at_once(Permanent)];
    let mut group = begun(Strategy::OneForAll, PLENTY, &terms);
    let ends = [Step::IsDone(1), Step::Fails(0), Step::IsDone(3), Step::IsDone(2)];
    assert_eq!(tell(&mut group, &ends), [stop(3), stop(2)]);
    assert_eq!(tell(&mut group, &AND_BACK), [start(0, 2), start(1, 2), start(3, 2)]);
}

#[test]
fn a_spent_budget_stops_everything_in_reverse_and_ends_the_group() {
    let budget = Budget::new(1, 60 * SECOND);
    let mut group = begun(Strategy::OneForOne, budget, &[at_once(Permanent); 3]);
    tell(&mut group, &[Step::Fails(1), AND_BACK[0], AND_BACK[1]]);
    assert_eq!(group.step(Step::Fails(0)), [stop(2)]);
    assert_eq!(group.step(Step::IsDone(2)), [stop(1)]);
    let spent = Ending::Spent(Place(0), "child 0 failed".into());
    assert_eq!(group.step(Step::IsDone(1)), [Action::End(spent)]);
}

#[test]
fn restarts_of_an_earlier_process_count() {
    let budget = Budget::new(2, 60 * SECOND);
    let now = Group::new(Strategy::OneForOne, budget, &[]).now;
    for (seconds_ago, ends) in [(59, true), (61, false)] {
        let earlier = Steady(now.0 - seconds_ago * 1_000_000);
        let mut group =
            Group::with_restarts(Strategy::OneForOne, budget, &[at_once(Permanent)], &[earlier, earlier.plus(SECOND)]);
        group.begin();
        group.step(Step::Fails(0));
        assert_eq!(group.ending.is_some(), ends, "{seconds_ago} seconds ago");
    }
}

#[test]
fn nobody_is_restarted_before_that_is_durable() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 2]);
    let failed = group.step(Step::Fails(0));
    assert!(matches!(&failed[..], [Action::Note { moments, anew }] if moments.len() == 1 && *anew == [Place(0)]));
    assert_eq!(tell(&mut group, &[Step::TimePasses, Step::Fails(1)]), []);
    let second = group.step(Step::NoteIsWritten);
    assert!(matches!(&second[..], [Action::Note { moments, .. }, Action::Start(Place(0), _)] if moments.len() == 2));
    assert_eq!(tell(&mut group, &[Step::TimePasses]), [], "its own restart is not noted yet");
    assert_eq!(tell(&mut group, &[Step::NoteIsWritten]), [start(1, 2)]);
}

#[test]
fn a_group_whose_restarts_cannot_be_noted_ends() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 2]);
    assert_eq!(tell(&mut group, &[Step::Fails(0), Step::NoteFails]), [stop(1)]);
    assert_eq!(group.step(Step::IsDone(1)), [Action::End(Ending::NotNoted)]);
}

#[test]
fn the_wait_before_a_restart_grows_with_the_restarts_that_count() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent)]);
    let mut waits = Vec::new();
    for _ in 0..5 {
        let failed = group.now;
        group.step(Step::Fails(0));
        group.step(Step::NoteIsWritten);
        group.step(Step::TimePasses);
        waits.push(group.now.since(failed).as_millis());
    }
    assert_eq!(waits, [100, 200, 400, 800, 1000]);
}

#[test]
fn a_child_that_is_not_ready_in_time_is_killed_and_counts_as_failed() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[when_ready(Permanent), at_once(Permanent)]);
    assert_eq!(tell(&mut group, &[Step::TimePasses]), [kill(0)]);
    assert_eq!(tell(&mut group, &[Step::TimePasses]), [], "it is killed once");
    assert_eq!(tell(&mut group, &[Step::Fails(0), AND_BACK[0], AND_BACK[1]]), [start(0, 2)]);
    assert_eq!(tell(&mut group, &[Step::IsReady(0)]), [start(1, 1)]);
}

#[test]
fn a_child_that_does_not_stop_in_time_is_killed_and_waited_for() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 2]);
    let asked = group.now;
    assert_eq!(group.step(Step::Stop), [stop(1)]);
    assert_eq!(group.step(Step::TimePasses), [kill(1)]);
    assert_eq!(group.now.since(asked).as_secs(), 5);
    assert_eq!(group.step(Step::TimePasses), [], "nothing is due: its end is waited for, however long it takes");
    assert_eq!(group.step(Step::Fails(1)), [stop(0)]);
}

#[test]
fn a_stop_during_a_backoff_starts_nothing_more() {
    let mut group = begun(Strategy::RestForOne, PLENTY, &[at_once(Permanent); 2]);
    tell(&mut group, &[Step::Fails(0), Step::IsDone(1), Step::NoteIsWritten]);
    assert_eq!(group.step(Step::Stop), [Action::End(Ending::Stopped)]);
}

#[test]
fn a_stop_during_a_note_waits_for_it_to_be_dropped() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent)]);
    tell(&mut group, &[Step::Fails(0)]);
    assert_eq!(group.step(Step::Stop), [Action::DropNote]);
    assert_eq!(group.step(Step::NoteFails), [Action::End(Ending::Stopped)]);
}

#[test]
fn a_group_that_is_killed_kills_everybody_at_once() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent); 2]);
    assert_eq!(group.step(Step::Kill), [kill(1), kill(0)]);
    tell(&mut group, &[Step::Fails(0)]);
    assert_eq!(group.step(Step::Fails(1)), [Action::End(Ending::Stopped)]);
}

#[test]
fn what_is_heard_of_an_earlier_incarnation_is_too_late() {
    let mut group = begun(Strategy::OneForOne, PLENTY, &[at_once(Permanent)]);
    tell(&mut group, &[Step::Fails(0), AND_BACK[0], AND_BACK[1]]);
    assert_eq!(group.step(Step::OldNews(0)), []);
    assert_eq!(group.live(), [0]);
}
