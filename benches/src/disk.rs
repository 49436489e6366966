//! What the disk does without Everpost: the figures of a shared machine mean nothing without it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::{now, per_second};
use crate::problem::Problem;
use crate::samples::Samples;

/// Appended by each write.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// The longest duration that is told from longer ones.
const DURATION_MAX: Duration = Duration::from_secs(60);

/// Durations in nanoseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(nanoseconds(DURATION_MAX), 3).expect("the bound and three digits are allowed")
}

/// A part of a histogram of nanoseconds, in microseconds.
pub(crate) fn quantile_us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

pub(crate) fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(nanoseconds(duration));
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Appends of 4 KiB, each with an `fdatasync`, to a file that grows. `when` is `before` or `after`.
pub(crate) fn baseline(
    samples: &mut Samples,
    folder: &Path,
    group: &str,
    when: &str,
    length: Duration,
) -> Result<(), Problem> {
    let path = folder.join("baseline");
    let file = File::create(&path)?;
    let mut latencies = histogram();
    let start = now();
    let mut count = 0;
    while start.elapsed() < length {
        let begun = now();
        append(&file, count)?;
        record(&mut latencies, begun.elapsed());
        count += 1;
    }
    let rate = per_second(count, start.elapsed());
    drop(file);
    std::fs::remove_file(path)?;
    samples.add(format!("{group}.fdatasync_{when}"), "syncs/s", rate);
    samples.add(format!("{group}.fdatasync_{when}_p50"), "us", quantile_us(&latencies, 0.5));
    Ok(())
}

fn append(file: &File, count: u64) -> io::Result<()> {
    file.write_all_at(&BLOCK, count * BLOCK.len() as u64)?;
    file.sync_data()
}
