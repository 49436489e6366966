//! Environments that LMDB has made and changed pass; one that was damaged is found out, or reads as it did.

use std::io;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvOpenOptions, WithoutTls};

use super::*;

/// The records of an environment: those of its unnamed database, and of two named ones.
type Records = Vec<Vec<(Vec<u8>, Vec<u8>)>>;

impl Pages for Vec<u8> {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let there = usize::try_from(at).ok().and_then(|at| self.get(at..at.checked_add(bytes.len())?));
        there.map_or(Ok(false), |there| {
            bytes.copy_from_slice(there);
            Ok(true)
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// What is checked is what is in a file, not how fast its disk is.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Numbers without a pattern, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

fn open(folder: &Path) -> Env<WithoutTls> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(256 << 20).max_dbs(4);
    #[expect(unsafe_code, reason = "a test makes an environment as LMDB does")]
    // SAFETY: the folder is the test's own.
    unsafe { options.open(folder) }.unwrap()
}

/// Changes records of all databases at random, in one commit.
fn change(env: &Env<WithoutTls>, random: &mut Random, changes: usize) {
    let txn = env.write_txn().unwrap();
    let done = env.create_databases_and_commit(txn, |opener, txn| {
        for name in [None, Some("one"), Some("two")] {
            let database = opener.create_database::<Bytes, Bytes>(txn, name)?;
            for _ in 0..changes {
                // Those of the unnamed one are no names.
                let key =
                    [vec![0xff; 1 + random.below(40)], (random.below(700) as u32).to_be_bytes().to_vec()].concat();
                if random.below(3) == 0 {
                    database.delete(txn, &key)?;
                } else {
                    let bytes = if random.below(50) == 0 { 1 + random.below(20_000) } else { random.below(500) };
                    database.put(txn, &key, &vec![7; bytes])?;
                }
            }
        }
        Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
    });
    done.unwrap().unwrap_commit();
}

fn read(env: &Env<WithoutTls>) -> Records {
    let mut all = Records::new();
    let txn = env.read_txn().unwrap();
    let read = env.open_databases_and_commit(txn, |opener, txn| {
        for name in [None, Some("one"), Some("two")] {
            let database = opener.open_database::<Bytes, Bytes>(txn, name)?.unwrap();
            let records = database.iter(txn)?.map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())));
            all.push(records.collect::<heed::Result<Vec<_>>>()?);
        }
        Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
    });
    read.unwrap().unwrap_commit();
    all
}

/// A file that many commits have left.
fn made(folder: &Path, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let env = open(folder);
    for _ in 0..40 {
        let changes = 1 + random.below(60);
        change(&env, &mut random, changes);
    }
    env.prepare_for_closing().wait();
    std::fs::read(folder.join("data.mdb")).unwrap()
}

fn flaw(bytes: &Vec<u8>) -> Option<Flaw> {
    match check_pages(bytes, &mut |_, _, _| Ok(())) {
        Ok(()) => None,
        Err(Stop::Flaw(flaw)) => Some(flaw),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn what_lmdb_has_written_passes_after_each_commit() {
    for seed in 0..4 {
        let folder = in_memory();
        let mut random = Random(seed);
        let env = open(folder.path());
        assert_eq!(flaw(&std::fs::read(folder.path().join("data.mdb")).unwrap()), None);
        for commit in 0..120 {
            let changes = random.below(80);
            change(&env, &mut random, changes);
            let file = std::fs::read(folder.path().join("data.mdb")).unwrap();
            assert_eq!(flaw(&file), None, "commit {commit} of seed {seed}");
        }
        env.prepare_for_closing().wait();
    }
}

/// LMDB writes the list of the pages that it still has to give twice in one commit, the second time shorter, in the
/// pages of the first: such a file was refused.
#[test]
fn lists_of_many_free_pages_pass_however_long_they_are() {
    for records in (900..1600).step_by(7) {
        let folder = in_memory();
        let env = open(folder.path());
        let commit = |from: u32, to: u32, value: Option<&[u8]>| {
            let txn = env.write_txn().unwrap();
            let done = env.create_databases_and_commit(txn, |opener, txn| {
                let database = opener.create_database::<Bytes, Bytes>(txn, None)?;
                for number in from..to {
                    let key = number.to_be_bytes();
                    match value {
                        Some(value) => database.put(txn, &key, value)?,
                        None => drop(database.delete(txn, &key)?),
                    }
                }
                Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
            });
            done.unwrap().unwrap_commit();
            let file = std::fs::read(folder.path().join("data.mdb")).unwrap();
            assert_eq!(flaw(&file), None, "{records} records");
        };
        // A page each.
        commit(0, records, Some(&[7; 3000]));
        commit(0, records, None);
        for number in 0..6 {
            commit(number, number + 1, Some(&[7; 30]));
        }
        env.prepare_for_closing().wait();
    }
}

/// Each bit of a file is either part of a value, or of no meaning, or found out. LMDB reads what passes, in this
/// process.
#[test]
fn a_flipped_bit_is_found_out_or_changes_nothing_but_a_key_or_a_value() {
    for seed in 0..2 {
        let folder = in_memory();
        let whole = made(folder.path(), seed);
        let expected = read(&open(folder.path()));
        let sizes = |records: &Records| -> Vec<Vec<(usize, usize)>> {
            records
                .iter()
                .map(|records| records.iter().map(|(key, value)| (key.len(), value.len())).collect())
                .collect()
        };
        let (mut random, mut found) = (Random(seed + 100), 0);
        for _ in 0..500 {
            let mut bytes = whole.clone();
            // Half of them where a page begins, where they hurt.
            let page = random.below(bytes.len() / 4096) * 4096;
            let within = if random.below(2) == 0 { 4096 } else { 64 };
            let at = page + random.below(within);
            bytes[at] ^= 1 << random.below(8);
            if flaw(&bytes).is_some() {
                found += 1;
                continue;
            }
            let harmed = in_memory();
            std::fs::write(harmed.path().join("data.mdb"), &bytes).unwrap();
            let env = open(harmed.path());
            assert_eq!(sizes(&read(&env)), sizes(&expected), "byte {at}");
            env.prepare_for_closing().wait();
        }
        assert!(found > 50, "only {found} were found out");
    }
}

#[test]
fn a_file_that_is_too_short_or_has_another_page_in_the_place_of_one_is_found_out() {
    let folder = in_memory();
    let whole = made(folder.path(), 7);
    let pages = whole.len() / 4096;
    for cut in [0, 100, 4096, 5000, 8192, whole.len() / 2] {
        assert!(flaw(&whole[..cut].to_vec()).is_some(), "cut at {cut}");
    }
    let mut swapped = 0;
    for page in 2..pages - 1 {
        let mut bytes = whole.clone();
        bytes.copy_within((page + 1) * 4096..(page + 2) * 4096, page * 4096);
        let mut zeroed = whole.clone();
        zeroed[page * 4096..(page + 1) * 4096].fill(0);
        swapped += usize::from(flaw(&bytes).is_some() && flaw(&zeroed).is_some());
    }
    // The others are free, or within a large value.
    assert!(swapped > pages / 10, "only {swapped} of {pages} were found out");
}
