//! How many may be in the middle of something at a time, such as a handshake, and which one is evicted when there are
//! too many: the oldest of the source that has the most. So a source that begins on and on and completes nothing takes
//! up its own share only. Pure.

use std::collections::VecDeque;

/// Admission control for what takes a while and may never be completed, by source: an address, or the name of a peer.
///
/// ```
/// use everpost_transport::Admission;
///
/// let mut handshakes = Admission::new(2, 64);
/// let (first, evicted) = handshakes.admit("192.0.2.1", false);
/// assert_eq!(evicted, None);
/// handshakes.admit("192.0.2.1", false);
/// // A third one of the same address takes the place of its first.
/// assert_eq!(handshakes.admit("192.0.2.1", false).1, Some(first));
/// ```
#[derive(Debug)]
pub struct Admission<K> {
    each_max: usize,
    unknown_max: usize,
    last: u64,
    /// Oldest first.
    admitted: VecDeque<Admitted<K>>,
}

/// One that was admitted, among all that one [`Admission`] has ever admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdmissionId(u64);

#[derive(Debug)]
struct Admitted<K> {
    id: AdmissionId,
    source: K,
    is_known: bool,
}

impl<K: Clone + Eq> Admission<K> {
    /// Nobody is admitted yet. At most `each_max` may be at a time of one source, and at most `unknown_max` of all
    /// sources together that are not known.
    ///
    /// # Panics
    ///
    /// When either is zero, so that nobody could ever be admitted.
    #[must_use]
    pub const fn new(each_max: usize, unknown_max: usize) -> Self {
        assert!(each_max > 0 && unknown_max > 0, "somebody may be admitted");
        Self { each_max, unknown_max, last: 0, admitted: VecDeque::new() }
    }

    /// How many are admitted and have neither been released nor evicted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.admitted.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Admits one more of a source, which is known or not. Returns its id, and the id of the one that is evicted for
    /// it.
    pub fn admit(&mut self, source: K, is_known: bool) -> (AdmissionId, Option<AdmissionId>) {
        let evicted = if self.admitted_of(&source) >= self.each_max {
            self.oldest(|admitted| admitted.source == source)
        } else if !is_known && self.unknown().count() >= self.unknown_max {
            let most = self.unknown().map(|admitted| self.admitted_of(&admitted.source)).max();
            self.oldest(|admitted| !admitted.is_known && Some(self.admitted_of(&admitted.source)) == most)
        } else {
            None
        };
        if let Some(id) = evicted {
            self.release(id);
        }
        self.last += 1;
        let id = AdmissionId(self.last);
        self.admitted.push_back(Admitted { id, source, is_known });
        (id, evicted)
    }

    /// Whether so many are admitted, of this source or altogether, that the next one has to prove its address first:
    /// nobody is evicted for a packet whose sender address may be forged.
    #[must_use]
    pub fn requires_validation(&self, source: &K) -> bool {
        self.len() >= self.unknown_max / 2 || self.admitted_of(source) >= self.each_max.div_ceil(2)
    }

    /// One that was admitted is done, in whichever way. Does nothing for one that was evicted.
    pub fn release(&mut self, id: AdmissionId) {
        self.admitted.retain(|admitted| admitted.id != id);
    }

    fn unknown(&self) -> impl Iterator<Item = &Admitted<K>> {
        self.admitted.iter().filter(|admitted| !admitted.is_known)
    }

    fn admitted_of(&self, source: &K) -> usize {
        self.admitted.iter().filter(|admitted| admitted.source == *source).count()
    }

    fn oldest(&self, is_meant: impl Fn(&Admitted<K>) -> bool) -> Option<AdmissionId> {
        self.admitted.iter().find(|admitted| is_meant(admitted)).map(|admitted| admitted.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_evicted_for_one_that_has_not_proved_its_address() {
        let mut admission = Admission::new(4, 64);
        for _ in 0..100 {
            if admission.requires_validation(&1) {
                break;
            }
            assert_eq!(admission.admit(1, true).1, None);
        }
        assert!(admission.requires_validation(&1) && !admission.requires_validation(&2));
        for source in 10.. {
            if admission.requires_validation(&source) {
                break;
            }
            assert_eq!(admission.admit(source, false).1, None);
        }
    }

    #[test]
    fn of_one_source_the_oldest_is_evicted() {
        let mut admission = Admission::new(2, 10);
        assert_eq!(admission.admit("a", false), (AdmissionId(1), None));
        assert_eq!(admission.admit("b", false), (AdmissionId(2), None));
        assert_eq!(admission.admit("a", false), (AdmissionId(3), None));
        assert_eq!(admission.admit("a", false), (AdmissionId(4), Some(AdmissionId(1))));
        admission.release(AdmissionId(3));
        assert_eq!(admission.admit("a", false), (AdmissionId(5), None));
        assert_eq!(admission.admit("a", true), (AdmissionId(6), Some(AdmissionId(4))), "known or not");
    }

    #[test]
    fn of_too_many_unknown_sources_the_one_with_the_most_is_evicted_from() {
        let mut admission = Admission::new(3, 4);
        for source in ["honest", "many", "many", "many"] {
            admission.admit(source, false);
        }
        assert_eq!(admission.admit("another", false), (AdmissionId(5), Some(AdmissionId(2))));
        assert_eq!(
            admission.admit("peer", true),
            (AdmissionId(6), None),
            "known sources do not count against the unknown"
        );
        assert_eq!(admission.len(), 5);
    }

    proptest! {
        #[test]
        fn the_limits_hold_and_a_source_with_one_is_never_evicted(
            sources in prop::collection::vec(0_u8..5, 1..200)
        ) {
            let mut admission = Admission::new(4, 8);
            let (honest, _) = admission.admit(100, false);
            for source in sources {
                let (_, evicted) = admission.admit(source, source == 0);
                prop_assert_ne!(evicted, Some(honest), "it has one, and others have more");
                prop_assert!(admission.admitted_of(&source) <= 4 && admission.unknown().count() <= 8);
            }
        }
    }
}
