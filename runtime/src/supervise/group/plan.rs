//! A group whose description was checked, with everything that its supervisors need to know.

use std::collections::HashSet;
use std::sync::Arc;

use everpost_persistence::MailboxId;

use super::actor::ActorChild;
use super::child::{Run, Work};
use super::nested::{Level, Starts, surprising};
use super::rules::Terms;
use super::strategy::Strategy;
use super::{Child, GROUP_RESTARTS_MAX, Group, SuperviseError, record};
use crate::base::rules::backoff::Backoff;
use crate::message::address::is_actor_type;
use crate::record::budget::Budget;

/// A checked group.
pub(super) struct Plan {
    /// The names from the outermost group to this one, `ingest/inner`.
    pub(super) path: String,
    pub(super) subject: MailboxId,
    pub(super) strategy: Strategy,
    pub(super) budget: Budget,
    pub(super) backoff: Backoff,
    pub(super) children: Vec<Planned>,
}

/// A checked child.
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) terms: Terms,
    /// The task stands for this keyed actor.
    actor: Option<ActorChild>,
    pub(super) work: PlannedWork,
}

pub(super) enum PlannedWork {
    Task(Run),
    Group(Arc<Plan>),
}

impl Plan {
    /// Checks a group, and everything in it.
    pub(super) fn check(group: Group) -> Result<Arc<Self>, SuperviseError> {
        Self::below("", group)
    }

    fn below(around: &str, group: Group) -> Result<Arc<Self>, SuperviseError> {
        let Group { name, strategy, budget, backoff, children } = group;
        let path = format!("{around}{name}");
        if !is_actor_type(&name) {
            return Err(SuperviseError::Name(name));
        }
        if budget.restarts > GROUP_RESTARTS_MAX {
            return Err(SuperviseError::Budget { group: path, restarts: budget.restarts });
        }
        let inside = format!("{path}/");
        let children: Vec<_> =
            children.into_iter().map(|child| Planned::check(&inside, child)).collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        if let Some(child) = children.iter().find(|child| !names.insert(&child.name)) {
            return Err(SuperviseError::TwoChildren { child: child.name.clone(), group: path });
        }
        let subject = record::subject(&path);
        Ok(Arc::new(Self { path, subject, strategy, budget, backoff, children }))
    }

    /// This group, and all in it.
    pub(super) fn groups(&self) -> Vec<&Self> {
        let inner = self.children.iter().flat_map(Planned::groups);
        std::iter::once(self).chain(inner).collect()
    }

    /// The keyed actors in it, each with the path of its group.
    pub(super) fn actors(&self) -> Vec<(&str, &ActorChild)> {
        let mut actors = Vec::new();
        for plan in self.groups() {
            let children = plan.children.iter().filter_map(|child| child.actor.as_ref());
            actors.extend(children.map(|actor| (plan.path.as_str(), actor)));
        }
        actors
    }

    /// Children that may be started more often than any single budget says; for each group the worst.
    pub(super) fn surprises(&self) -> Vec<(&str, Starts)> {
        let mut found = Vec::new();
        self.look_for_surprises(&mut Vec::new(), &mut found);
        found
    }

    fn look_for_surprises<'a>(&'a self, way: &mut Vec<Level>, found: &mut Vec<(&'a str, Starts)>) {
        let mut worst: Option<Starts> = None;
        for child in &self.children {
            way.push(Level { budget: self.budget, next: child.terms.restart });
            match &child.work {
                PlannedWork::Task(_) => worst = worst.into_iter().chain(surprising(way)).max_by_key(|s| s.starts),
                PlannedWork::Group(inner) => inner.look_for_surprises(way, found),
            }
            way.pop();
        }
        found.extend(worst.map(|starts| (self.path.as_str(), starts)));
    }
}

impl Planned {
    fn check(around: &str, child: Child) -> Result<Self, SuperviseError> {
        let Child { name, restart, ready_within, stop_within, actor, work } = child;
        let terms = Terms { restart, ready_within, stop_within };
        let (name, work) = match work {
            Work::Task(run) => (name.unwrap_or_default(), PlannedWork::Task(run)),
            Work::Group(group) => (group.name.clone(), PlannedWork::Group(Plan::below(around, group)?)),
        };
        if !is_actor_type(&name) {
            return Err(SuperviseError::Name(name));
        }
        Ok(Self { name, terms, actor, work })
    }

    /// All groups in it, if it is one.
    pub(super) fn groups(&self) -> Vec<&Plan> {
        match &self.work {
            PlannedWork::Task(_) => Vec::new(),
            PlannedWork::Group(plan) => plan.groups(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn task(name: &str) -> Child {
        Child::permanent(name, |_| async { Ok(()) })
    }

    #[test]
    fn names_and_budgets_are_checked_at_every_depth() {
        let check = |inner: Group| Plan::check(Group::one_for_one("outer").child(inner)).err().unwrap().to_string();
        assert!(check(Group::one_for_one("a/b")).contains("`a/b` cannot be the name"));
        assert!(check(Group::one_for_one("inner").child(task(""))).contains("`` cannot be the name"));
        let twice = check(Group::one_for_one("inner").child(task("x")).child(Group::one_for_all("x")));
        assert!(twice.contains("two children of the group `outer/inner` have the name `x`"), "{twice}");
        let budget = check(Group::one_for_one("inner").restarts(1001, SECOND));
        assert!(budget.contains("`outer/inner` is 1001 restarts"), "{budget}");
    }

    #[test]
    fn surprises_are_found_for_each_group_at_its_worst_child() {
        let temporary = Child::temporary("t", |_| async { Ok(()) });
        let deep = Group::one_for_one("deep").restarts(1, SECOND).child(temporary).child(task("x"));
        let inner = Group::one_for_one("inner").restarts(2, SECOND * 10).child(task("y")).child(deep);
        let plan = Plan::check(Group::one_for_one("outer").restarts(3, SECOND * 60).child(task("z")).child(inner));
        let plan = plan.unwrap();
        let found: Vec<_> = plan.surprises().into_iter().map(|(path, starts)| (path, starts.starts)).collect();
        assert_eq!(found, [("outer/inner/deep", 24), ("outer/inner", 12)]);
        let paths: Vec<_> = plan.groups().into_iter().map(|plan| plan.path.as_str()).collect();
        assert_eq!(paths, ["outer", "outer/inner", "outer/inner/deep"]);
    }
}
