//! Stores that are opened with other tables than those that they were written with.

use everpost_persistence::{Config, Field, Key, OpenError, Partition, Position, Schema, Store, Table};

use crate::support::{config, folder};

const LETTERS: Table = Table::queue(1, "letters", 1).with_companion(&RECEIPTS);
const RECEIPTS: Table = Table::companion(2, "receipts", 1, 1);
const PEOPLE: Table = Table::keyed(3, "people", 1, &[Field::Partition, Field::U128]);
const NAMES: Table = Table::keyed(5, "names", 1, &[Field::U64]);
const SCHEMA: Schema = Schema::new(&[LETTERS, RECEIPTS, PEOPLE, NAMES]);

const SETTINGS: fn() -> Config = config;

const fn person(id: u128) -> Key {
    PEOPLE.key().partition(Partition(1)).u128(id).end()
}

fn open(folder: &std::path::Path, schema: Schema) -> Result<Store, OpenError> {
    Store::open(folder, SETTINGS(), schema, || ()).map(|(store, _)| store)
}

/// A store with one person; `is_closed` says whether it is in the tables by now, or in the journal alone.
fn write(folder: &std::path::Path, is_closed: bool) {
    let (told, progress) = std::sync::mpsc::channel();
    let (store, _) = Store::open(folder, SETTINGS(), SCHEMA, move || {
        let _ = told.send(());
    })
    .unwrap();
    let permit = store.try_reserve(everpost_persistence::Class::Outside, 10).unwrap();
    let (ticket, ()) = store.submit(permit, |stage| stage.put(person(7), "somebody".into()));
    while store.durable() < ticket {
        progress.recv().unwrap();
    }
    if is_closed {
        store.close().unwrap();
    }
}

/// What opening it with these tables says, and looking at it; each the same.
fn refused(folder: &std::path::Path, schema: Schema) -> OpenError {
    let looked_at = Store::inspect(folder, schema).unwrap_err();
    let opened = open(folder, schema).unwrap_err();
    assert_eq!(looked_at.to_string(), opened.to_string());
    opened
}

#[test]
fn a_table_that_is_not_declared_is_refused_by_its_name() {
    const WITHOUT: Schema = Schema::new(&[LETTERS, RECEIPTS, NAMES]);
    for (is_closed, name) in [(true, "people"), (false, "number 3")] {
        let folder = folder();
        write(folder.path(), is_closed);
        let error = refused(folder.path(), WITHOUT);
        assert!(matches!(&error, OpenError::UnknownTable { table } if table == name), "{error}");
        let store = open(folder.path(), SCHEMA).unwrap();
        assert_eq!(store.get(&person(7)).unwrap().as_deref(), Some(&b"somebody"[..]), "nothing was changed");
    }
}

#[test]
fn a_table_with_other_keys_is_refused_by_its_name() {
    const LONGER: Table = Table::keyed(3, "people", 1, &[Field::Partition, Field::U128, Field::U32]);
    const WITHOUT_PARTITION: Table = Table::keyed(3, "people", 1, &[Field::U128]);
    for (table, declared) in [(LONGER, 22), (WITHOUT_PARTITION, 16)] {
        let tables: &'static [Table] = Vec::leak(vec![LETTERS, RECEIPTS, table, NAMES]);
        let folder = folder();
        write(folder.path(), true);
        let error = refused(folder.path(), Schema::new(tables));
        let OpenError::TableLayout { table: "people", found: 18, declared: said } = error else { panic!("{error}") };
        assert_eq!(said, declared);
        open(folder.path(), SCHEMA).unwrap().close().unwrap();
        // What is in the journal alone is refused as well, though only as something that cannot be read.
        let folder = crate::support::folder();
        write(folder.path(), false);
        refused(folder.path(), Schema::new(tables));
    }
}

#[test]
fn a_table_that_another_name_has_is_missed() {
    const RENAMED: Table = Table::keyed(3, "persons", 1, &[Field::Partition, Field::U128]);
    let folder = folder();
    write(folder.path(), true);
    let error = refused(folder.path(), Schema::new(const { &[LETTERS, RECEIPTS, RENAMED, NAMES] }));
    assert!(matches!(error, OpenError::TableLost { table: "persons" }), "{error}");
}

#[test]
fn a_new_table_brings_a_format_which_older_programs_refuse() {
    const MORE: Table = Table::keyed(6, "more", 7, &[Field::U32]);
    const NEWER: Schema = Schema::new(&[LETTERS, RECEIPTS, PEOPLE, NAMES, MORE]);
    const WITHOUT_FORMAT: Schema =
        Schema::new(const { &[LETTERS, RECEIPTS, PEOPLE, NAMES, Table::keyed(6, "more", 6, &[Field::U32])] });
    let folder = folder();
    write(folder.path(), true);
    assert_eq!((SCHEMA.format(), NEWER.format()), (6, 7));
    // Of this format it would have had the table from the beginning.
    let error = refused(folder.path(), WITHOUT_FORMAT);
    assert!(matches!(error, OpenError::TableLost { table: "more" }), "{error}");
    let inspected = Store::inspect(folder.path(), NEWER).unwrap();
    assert_eq!((inspected.format(), inspected.get(&MORE.key().u32(1).end()).unwrap()), (6, None));
    drop(inspected);

    let store = open(folder.path(), NEWER).unwrap();
    let permit = store.try_reserve(everpost_persistence::Class::Outside, 10).unwrap();
    store.submit(permit, |stage| stage.put(MORE.key().u32(1).end(), "more".into()));
    store.close().unwrap();
    let error = refused(folder.path(), SCHEMA);
    assert!(matches!(error, OpenError::FormatVersion { found: 7, supported: 6, .. }), "{error}");
    let store = open(folder.path(), NEWER).unwrap();
    assert_eq!(store.get(&MORE.key().u32(1).end()).unwrap().as_deref(), Some(&b"more"[..]));
    assert_eq!(store.get(&person(7)).unwrap().as_deref(), Some(&b"somebody"[..]));
}

#[test]
fn what_was_not_declared_is_a_defect_of_the_caller() {
    let folder = folder();
    let store = open(folder.path(), SCHEMA).unwrap();
    let panics = |wrong: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).is_err();
    let undeclared = Table::keyed(4, "undeclared", 1, &[Field::U32]).key().u32(1).end();
    let differently = Table::queue(1, "letters", 1).key().partition(Partition(0)).position(Position(1)).end();
    let submit = |key: Key| {
        let permit = store.try_reserve(everpost_persistence::Class::Outside, 10).unwrap();
        store.submit(permit, |stage| stage.delete(key));
    };
    for key in [undeclared, differently] {
        assert!(panics(&|| submit(key)) && panics(&|| drop(store.get(&key))), "{key:?}");
    }
    assert!(!panics(&|| submit(person(1))));
}

#[test]
fn declarations_that_cannot_be_are_refused() {
    let refuses = |tables: Vec<Table>| {
        let tables: &'static [Table] = Vec::leak(tables);
        std::panic::catch_unwind(|| Schema::new(tables)).is_err()
    };
    let of = |number: u8, name: &'static str| Table::keyed(number, name, 1, &[Field::U32]);
    assert!(refuses(vec![of(2, "a"), of(1, "b")]), "out of order");
    assert!(refuses(vec![of(1, "a"), of(1, "b")]), "one number for two");
    assert!(refuses(vec![of(1, "a"), of(2, "a")]), "one name for two");
    assert!(refuses(vec![of(1, "sums")]), "a name of the store's own");
    assert!(refuses(vec![LETTERS]) && refuses(vec![RECEIPTS]), "one without the other");
    assert!(refuses(vec![Table::queue(1, "letters", 1), RECEIPTS]), "a queue that does not know its companion");
    assert!(!refuses(vec![of(1, "a"), of(9, "b")]));
    let panics = |wrong: fn() -> Table| std::panic::catch_unwind(wrong).is_err();
    assert!(panics(|| Table::keyed(0, "a", 1, &[Field::U32])) && panics(|| Table::queue(128, "a", 1)));
    assert!(panics(|| Table::keyed(1, "a", 1, &[])) && panics(|| Table::keyed(1, "a", 1, &[Field::Position])));
    assert!(panics(|| Table::keyed(1, "a", 1, &[Field::U32, Field::Partition])));
    assert!(panics(|| Table::keyed(1, "a", 1, &[Field::Partition, Field::U128, Field::U128, Field::U32])));
    assert!(
        panics(|| PEOPLE.with_companion(&RECEIPTS)) && panics(|| Table::queue(3, "a", 1).with_companion(&RECEIPTS))
    );
}
