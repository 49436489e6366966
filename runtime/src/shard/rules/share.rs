//! Which bodies stay in the window. Pure.
//!
//! Half of the window goes to whoever comes first, so that few mailboxes may use much of it. The other half is divided
//! evenly among the mailboxes that are active: so a long queue of one does not send the bodies of all others through
//! the store.

/// How full the window is, with the body that is to come in, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) used: usize,
    pub(crate) max: usize,
}

/// Whether a body stays in memory in a mailbox in which so many bytes wait, with it. `active` is asked only when half
/// is used.
pub(crate) fn keeps(Fill { used, max }: Fill, own: usize, active: impl FnOnce() -> usize) -> bool {
    let half = max / 2;
    used <= half || (used <= max && own <= (max - half) / active().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a window of 1,000 with messages of 10 to mailboxes in turn, as long as one of them keeps some; what each
    /// has in it.
    fn fill(wants: &[usize]) -> Vec<usize> {
        let (mut own, mut kept) = (vec![0; wants.len()], vec![0; wants.len()]);
        for _ in 0..200 {
            for (mailbox, want) in wants.iter().enumerate() {
                if own[mailbox] < *want {
                    own[mailbox] += 10;
                    let used = kept.iter().sum::<usize>() + 10;
                    if keeps(Fill { used, max: 1000 }, own[mailbox], || wants.len()) {
                        kept[mailbox] += 10;
                    }
                }
            }
        }
        kept
    }

    #[test]
    fn one_alone_has_half_and_what_is_its_share_of_the_rest() {
        assert_eq!(fill(&[2000]), [500]);
        assert_eq!(fill(&[400]), [400]);
    }

    #[test]
    fn a_long_queue_leaves_the_others_their_share() {
        let (max, active) = (1000, || 10);
        let used = 500;
        // The first half is full of one mailbox, and it is past its share of the other.
        assert!(!keeps(Fill { used: used + 10, max }, used + 10, active));
        assert!(keeps(Fill { used: used + 10, max }, 10, active) && keeps(Fill { used: used + 10, max }, 50, active));
        assert!(!keeps(Fill { used: used + 10, max }, 60, active), "nobody has more than a share");
        assert!(!keeps(Fill { used: 1010, max }, 10, active), "there is no more than all of it");
    }

    #[test]
    fn as_many_as_are_active_have_their_share() {
        let kept = fill(&[2000, 100, 100, 100, 100]);
        assert_eq!(kept[1..], [100, 100, 100, 100], "{kept:?}");
        assert!(kept.iter().sum::<usize>() <= 1000);
    }
}
