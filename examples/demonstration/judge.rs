//! The judge: what every account must hold by the parent's own computation, against what is stored.

use crate::bank::{AccountBook, Tally};
use crate::protocol::Books;
use crate::transfer::{Transfer, mix};

/// What is wrong is told up to here.
const TOLD_MAX: usize = 10;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Debits and credits that never happened.
    pub(crate) lost: u64,
    /// Debits and credits beyond the first of a transfer, and transfers that reached the teller twice.
    pub(crate) duplicated: u64,
    /// What does not hold, for people; empty if all is well.
    pub(crate) breaches: Vec<String>,
}

/// Judges the transfers from `first` to `last`, all of which were acknowledged, made with `seed` between the accounts
/// of the books `before` and `after`.
pub(crate) fn judge(seed: u64, first: u64, last: u64, before: &Books, after: &Books) -> Verdict {
    let mut verdict = Verdict::default();
    let (teller, teller_before) = (&after.teller, &before.teller);
    let repeated = teller.repeated - teller_before.repeated;
    verdict.duplicated += repeated;
    verdict.check(repeated == 0, || format!("{repeated} transfers reached the teller twice, and were sent once"));
    verdict.check(teller.last == last, || format!("the teller's last transfer is {} instead of {last}", teller.last));
    let missing = teller.missing - teller_before.missing;
    verdict.check(missing == 0, || format!("{missing} acknowledged transfers never reached the teller"));
    let dead = after.dead_letters.abs_diff(before.dead_letters);
    verdict.check(dead == 0, || format!("{dead} messages were given up on"));
    let (sum_before, sum) = (before.balance(), after.balance());
    verdict.check(sum == sum_before, || format!("the sum of all balances was {sum_before} cents and is {sum}"));
    let expected = expect(seed, first, last, before);
    for (index, (expected, found)) in expected.iter().zip(&after.accounts).enumerate() {
        verdict.compare(first..=last, &format!("debits of account {index}"), expected.debits, found.debits);
        verdict.compare(first..=last, &format!("credits of account {index}"), expected.credits, found.credits);
        let (expected, found) = (expected.cents, found.cents);
        verdict.check(found == expected, || format!("account {index} holds {found} cents instead of {expected}"));
    }
    let untold = verdict.breaches.len().saturating_sub(TOLD_MAX);
    if untold > 0 {
        verdict.breaches.truncate(TOLD_MAX);
        verdict.breaches.push(format!("and {untold} more"));
    }
    verdict
}

/// The books as they must be.
fn expect(seed: u64, first: u64, last: u64, before: &Books) -> Vec<AccountBook> {
    let mut accounts = before.accounts.clone();
    let count = u32::try_from(accounts.len()).expect("the number of accounts is a u32");
    for number in first..=last {
        let Transfer { from, to, cents, .. } = Transfer::new(seed, number, count);
        accounts[from as usize].debit(number, cents);
        accounts[to as usize].credit(number, cents);
    }
    accounts
}

impl Verdict {
    fn check(&mut self, holds: bool, breach: impl FnOnce() -> String) {
        if !holds {
            self.breaches.push(breach());
        }
    }

    /// Counts what is missing and what is too much in one tally. When as many effects were lost as were repeated, the
    /// fingerprint still tells that it was at least one of each.
    fn compare(&mut self, transfers: std::ops::RangeInclusive<u64>, what: &str, expected: Tally, found: Tally) {
        if expected == found {
            return;
        }
        let (mut lost, mut duplicated) =
            (expected.count.saturating_sub(found.count), found.count.saturating_sub(expected.count));
        if lost == 0 && duplicated == 0 {
            (lost, duplicated) = (1, 1);
        }
        self.lost += lost;
        self.duplicated += duplicated;
        let difference = match (lost, duplicated) {
            (1, 0) => expected.fingerprint.wrapping_sub(found.fingerprint),
            (0, 1) => found.fingerprint.wrapping_sub(expected.fingerprint),
            _ => return self.breaches.push(format!("{what}: {lost} lost, {duplicated} duplicated")),
        };
        let culprit = transfers.into_iter().find(|number| mix(*number) == difference);
        let culprit = culprit.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        self.breaches.push(format!("{what}: {lost} lost, {duplicated} duplicated; it is transfer {culprit}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 3;
    const TRANSFERS: u64 = 500;
    const ACCOUNTS: usize = 20;

    fn opened() -> Books {
        Books { accounts: vec![AccountBook::default(); ACCOUNTS], ..Books::default() }
    }

    /// The books after everything happened once.
    fn after() -> Books {
        let mut books = opened();
        books.accounts = expect(SEED, 1, TRANSFERS, &books);
        books.teller.last = TRANSFERS;
        books
    }

    fn verdict(after: &Books) -> Verdict {
        judge(SEED, 1, TRANSFERS, &opened(), after)
    }

    fn transfer(number: u64) -> Transfer {
        Transfer::new(SEED, number, 20)
    }

    /// Takes the credit of a transfer back.
    fn lose(books: &mut Books, number: u64) {
        let Transfer { to, cents, .. } = transfer(number);
        let account = &mut books.accounts[to as usize];
        account.cents -= cents;
        account.credits.count -= 1;
        account.credits.fingerprint = account.credits.fingerprint.wrapping_sub(mix(number));
    }

    fn repeat(books: &mut Books, number: u64) {
        let Transfer { to, cents, .. } = transfer(number);
        books.accounts[to as usize].credit(number, cents);
    }

    #[test]
    fn nothing_is_wrong_with_right_books() {
        assert_eq!(verdict(&after()), Verdict::default());
    }

    #[test]
    fn a_lost_credit_is_named() {
        let mut books = after();
        lose(&mut books, 77);
        let verdict = verdict(&books);
        assert_eq!((verdict.lost, verdict.duplicated), (1, 0));
        assert!(verdict.breaches[1].ends_with("it is transfer 77"), "{:?}", verdict.breaches);
    }

    #[test]
    fn a_repeated_credit_is_named() {
        let mut books = after();
        repeat(&mut books, 78);
        let verdict = verdict(&books);
        assert_eq!((verdict.lost, verdict.duplicated), (0, 1));
        assert!(verdict.breaches[1].ends_with("it is transfer 78"), "{:?}", verdict.breaches);
    }

    #[test]
    fn a_loss_and_a_repetition_in_one_account_do_not_cancel_out() {
        let other = (2..).find(|number| transfer(*number).to == transfer(1).to).unwrap();
        let mut books = after();
        lose(&mut books, 1);
        repeat(&mut books, other);
        let verdict = verdict(&books);
        assert_eq!((verdict.lost, verdict.duplicated), (1, 1));
    }

    #[test]
    fn wrong_money_with_right_counters_is_found() {
        let mut books = after();
        books.accounts[3].cents += 1;
        books.accounts[4].cents -= 1;
        let verdict = verdict(&books);
        assert_eq!((verdict.lost, verdict.duplicated, verdict.breaches.len()), (0, 0, 2));
    }

    #[test]
    fn what_the_teller_saw_counts() {
        let mut books = after();
        books.teller.repeated = 2;
        assert_eq!(verdict(&books).duplicated, 2);
        books = after();
        books.teller.missing = 1;
        books.dead_letters = 1;
        assert_eq!(verdict(&books).breaches.len(), 2);
    }
}
