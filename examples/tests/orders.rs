//! The orders example: nobody is charged twice and no piece is lost, wherever the program dies. Judged by the ledger of
//! the provider, a process that is not killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, assert_refused, ends_within, line_with, orders, run, spawn, text};
use crate::seeds::seeds;

/// A folder with a shop in it, and the ledger of its provider.
struct Shop {
    folder: TempDir,
    seed: u64,
}

/// A provider that runs as long as this.
struct Provider {
    address: String,
    _running: Running,
}

impl Shop {
    fn new(seed: u64) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), seed }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the provider has its ledger that a shop starts by itself.
    fn ledger(&self) -> PathBuf {
        self.path().join("ledger")
    }

    fn command(&self, orders_max: u64) -> Command {
        let mut command = orders();
        command.arg("--data-dir").arg(self.path()).args(["--orders", &orders_max.to_string(), "--json"]);
        command.args(["--items", "4", "--pieces", "80", "--deadline", "1000", "--seed", &self.seed.to_string()]);
        command
    }

    fn provider(&self) -> Provider {
        let mut command = orders();
        command.args(["provider", "--seed", &self.seed.to_string(), "--ledger"]).arg(self.ledger());
        let mut child = spawn(&mut command);
        let address = line_with("127.0.0.1:", child.stdout.take().unwrap()).expect("it listens");
        Provider { address, _running: Running::new(child) }
    }

    /// The figures of a run that has ended, if nothing is wrong with them.
    #[track_caller]
    fn judged(&self, output: &Output, orders: usize) -> Value {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(figures["orders"].as_array().unwrap().len(), orders);
        let ledger = fs::read_to_string(self.ledger()).unwrap();
        assert_eq!(judge(&figures, &ledger), Ok(()), "{figures}");
        figures
    }
}

/// What the provider has done for one order.
#[derive(Debug, Default)]
struct Account {
    /// Charges that were decided: accepted, and not.
    charges: u64,
    declined: u64,
    refunds: u64,
    /// What was taken and not given back.
    cents: i64,
}

/// Compares what the program says with what the provider has done.
fn judge(figures: &Value, ledger: &str) -> Result<(), String> {
    let mut accounts = BTreeMap::<u64, Account>::new();
    for line in ledger.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let account = accounts.entry(record["order"].as_u64().unwrap()).or_default();
        let cents = record["cents"].as_i64().unwrap();
        match (&record["again"], &record["accepted"], record["entry"].as_str().unwrap()) {
            (Value::Bool(true), ..) => {}
            (_, Value::Bool(false), _) => account.declined += 1,
            (_, _, "charge") => (account.charges, account.cents) = (account.charges + 1, account.cents + cents),
            (_, _, _) => (account.refunds, account.cents) = (account.refunds + 1, account.cents - cents),
        }
    }
    let mut sold = BTreeMap::<u64, u64>::new();
    for (number, order) in (0..).zip(figures["orders"].as_array().unwrap()) {
        let Account { charges, declined, refunds, cents } = accounts.remove(&number).unwrap_or_default();
        let is_right = match order["cancelled"].as_str() {
            None => {
                *sold.entry(order["item"].as_u64().unwrap()).or_default() += order["quantity"].as_u64().unwrap();
                (charges, declined, refunds) == (1, 0, 0) && cents == order["cents"].as_i64().unwrap()
            }
            Some("out_of_stock") => (charges, declined, refunds) == (0, 0, 0),
            Some("declined") => (charges, declined, refunds) == (0, 1, 0),
            Some("too_late") => charges == refunds && charges + declined <= 1 && cents == 0,
            Some(other) => return Err(format!("{other} is no reason")),
        };
        if !is_right {
            let account = format!("{charges} charges, {declined} declined, {refunds} refunds, {cents} cents");
            return Err(format!("order {number}, {order}: {account}"));
        }
    }
    if !accounts.is_empty() {
        return Err(format!("nobody has ordered {accounts:?}"));
    }
    for (item, shelf) in (0..).zip(figures["shelves"].as_array().unwrap()) {
        let [initial, left, reserved, is_sold] =
            ["initial", "left", "reserved", "sold"].map(|pieces| shelf[pieces].as_u64().unwrap());
        if initial != left + is_sold || reserved != 0 || is_sold != sold.get(&item).copied().unwrap_or_default() {
            return Err(format!("item {item}: {shelf}, and {:?} were ordered", sold.get(&item)));
        }
    }
    Ok(())
}

#[test]
fn undisturbed_every_order_ends_in_one_of_four_ways() {
    let shop = Shop::new(5);
    let figures = shop.judged(&run(&mut shop.command(250)), 250);
    for end in ["confirmed", "out_of_stock", "declined", "too_late"] {
        assert!(figures[end].as_u64().unwrap() > 0, "no order is {end}: {figures}");
    }
    assert!(figures["orders"].as_array().unwrap().iter().any(|order| order["cancelled"] == "too_late"));
    assert_eq!(shop.judged(&run(&mut shop.command(250)), 250), figures, "a second run reports what is there");
    shop.judged(&run(&mut shop.command(300)), 300);
}

#[test]
fn killed_at_random_moments_nobody_is_charged_twice_and_no_piece_is_lost() {
    for mut seed in seeds("orders::killed_at_random_moments_nobody_is_charged_twice_and_no_piece_is_lost", 3) {
        let shop = Shop::new(seed.value());
        let provider = shop.provider();
        let start = || {
            let mut command = shop.command(300);
            command.args(["--provider", &provider.address]);
            command
        };
        let mut kills = 0;
        for _ in 0..12 {
            let moment = Duration::from_millis(20 + seed.below(500));
            match ends_within(spawn(&mut start()), moment) {
                Some(output) => drop(shop.judged(&output, 300)),
                None => kills += 1,
            }
        }
        assert!(kills > 0, "there are too few orders for this machine: no run was killed");
        let figures = shop.judged(&run(&mut start()), 300);
        assert!(figures["confirmed"].as_u64().unwrap() > 0, "{figures}");
        let ledger = fs::read_to_string(shop.ledger()).unwrap();
        assert!(ledger.contains("\"again\":true"), "the provider was asked everything once, which proves nothing");
    }
}

#[test]
fn killed_together_with_its_provider_the_shop_goes_on_with_another_one() {
    let mut shop = Shop::new(7);
    for moment in [150, 400, 700] {
        // None for killed. Its provider hears of that, and leaves the ledger to the next one.
        if let Some(output) = ends_within(spawn(&mut shop.command(150)), Duration::from_millis(moment)) {
            shop.judged(&output, 150);
        }
    }
    shop.judged(&run(&mut shop.command(150)), 150);
    shop.seed = 8;
    assert_refused(&run(&mut shop.command(150)), "the folder holds other orders");
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let order = |cancelled: Option<&str>| json!({ "item": 0, "quantity": 2, "cents": 7, "cancelled": cancelled });
    let figures = |cancelled, left| {
        let shelf = json!({ "initial": 5, "left": left, "reserved": 0, "sold": 5 - left });
        json!({ "orders": [order(cancelled)], "shelves": [shelf] })
    };
    let line = |entry: &str, accepted, again| {
        let record = json!({ "order": 0, "entry": entry, "cents": 7, "accepted": accepted, "again": again });
        format!("{record}\n")
    };
    let (charge, refund) = (line("charge", true, false), line("refund", true, false));
    assert_eq!(judge(&figures(None, 3), &format!("{charge}{}", line("charge", true, true))), Ok(()));
    assert_eq!(judge(&figures(Some("too_late"), 5), &format!("{charge}{refund}")), Ok(()));
    let wrong = [
        (figures(None, 3), charge.repeat(2), "charged twice"),
        (figures(None, 3), String::new(), "not charged"),
        (figures(None, 3), format!("{charge}{refund}"), "refunded"),
        (figures(Some("too_late"), 5), charge.clone(), "not refunded"),
        (figures(Some("too_late"), 5), format!("{charge}{refund}{refund}"), "refunded twice"),
        (figures(Some("declined"), 5), charge.clone(), "charged although it was declined"),
        (figures(Some("out_of_stock"), 5), charge.clone(), "charged for nothing"),
        (figures(None, 4), charge.clone(), "a piece too few is sold"),
        (json!({ "orders": [], "shelves": [] }), charge.clone(), "nobody has ordered"),
    ];
    for (figures, ledger, what) in wrong {
        assert!(judge(&figures, &ledger).is_err(), "{what} is not found");
    }
}

#[test]
fn without_json_it_prints_a_table_that_lines_up() {
    let shop = Shop::new(3);
    let output = run(orders().arg("--data-dir").arg(shop.path()).args(["--orders", "20", "--items", "2"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["orders", "20"]);
    assert_eq!(lines.len(), 7 + 1 + 2);
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{lines:#?}");
}

#[test]
fn what_it_cannot_use_is_refused() {
    let shop = Shop::new(0);
    fs::write(shop.path().join("node"), "").unwrap();
    assert_refused(&run(&mut shop.command(1)), "node");
    fs::create_dir(shop.path().join("folder")).unwrap();
    let provider = run(orders().args(["provider", "--ledger"]).arg(shop.path().join("folder")));
    assert_refused(&provider, "folder cannot be used");
}
