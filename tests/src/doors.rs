//! The public async functions of the crate, found in its sources: what a user awaits, and so may drop at any moment.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::{root, sources};

/// All of them, as `Type::function`; of what is awaited itself the type.
///
/// # Panics
///
/// When the sources cannot be read.
#[must_use]
pub fn public_async_functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in sources(&root().join("runtime/src")) {
        of_source(&fs::read_to_string(&file).expect("a source can be read"), &mut found);
    }
    found
}

fn of_source(text: &str, found: &mut BTreeSet<String>) {
    let mut of_type = String::new();
    for line in text.lines() {
        if let Some(block) = line.strip_prefix("impl") {
            of_type = type_of(block);
            if block.contains(" IntoFuture for ") {
                found.insert(of_type.clone());
            }
        } else if let Some(function) = line.strip_prefix("    pub async fn ") {
            found.insert(format!("{of_type}::{}", name_of(function)));
        } else if let Some(function) = line.strip_prefix("pub async fn ") {
            found.insert(name_of(function).to_owned());
        }
    }
}

/// The type of an `impl` block, without what it is generic over: `<'h, A: Actor> ActorHandle<A> {` is `ActorHandle`.
fn type_of(block: &str) -> String {
    let mut depth = 0_i32;
    let mut plain = String::new();
    for letter in block.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            letter if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let plain = plain.rsplit(" for ").next().unwrap_or_default();
    plain.split_whitespace().next().unwrap_or_default().to_owned()
}

fn name_of(function: &str) -> &str {
    function.split(['<', '(']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_types() {
        let source = "impl<'h, A: Actor> SendBuilder<'h, A> {\n    pub async fn submit(self) -> X {\n    \
                      pub(crate) async fn no() {}\nimpl<'h, A: QueryHandler<Q>> IntoFuture for Query<'h, A> {\n    \
                      type Output = X;\npub async fn free() {\n";
        let mut found = BTreeSet::new();
        of_source(source, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["Query", "SendBuilder::submit", "free"]);
    }
}
