//! Values that share their insides: what is asked of them, and how they end.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use segue_contract::Address;

use super::{BlockValue, Data, Sealed, Sensitivity, TooLarge, Value};

/// A list that holds another one twice, `levels` deep.
fn doubled(inner: Value, levels: usize) -> Value {
    (0..levels).fold(inner, |value, _| Value::list(vec![value.clone(), value]))
}

#[test]
fn questions_about_sixty_doublings_are_answered_at_once() {
    let plain = doubled(Value::int(1), 60);
    assert!(!plain.is_unknown_deep() && !plain.is_sensitive_deep() && !plain.shows_secret());
    assert_eq!(plain.to_json(), Err(TooLarge));
    assert_eq!((plain.weight(), plain.depth()), (u64::MAX, 60));

    assert!(doubled(Value::unknown(), 60).is_unknown_deep());
    let secret = Value { sensitive: Sensitivity::Secret, ..Value::int(1) };
    let secret = doubled(secret, 60);
    assert!(secret.is_sensitive_deep() && secret.shows_secret() && !secret.is_sensitive());
}

#[test]
fn sixty_doublings_are_compared_at_once() {
    let (one, other) = (doubled(Value::int(1), 60), doubled(Value::int(1), 60));
    assert_eq!(one.order(&other), Ordering::Equal);
    assert_eq!(one.order(&doubled(Value::int(2), 60)), Ordering::Less);
    assert_eq!(Value::set(vec![one.clone(), other, one]).to_json(), Err(TooLarge));

    let maps = |inner: i64| {
        (0..60).fold(Value::int(inner), |value, _| {
            Value::map(BTreeMap::from([("a".to_owned(), value.clone()), ("b".to_owned(), value)]))
        })
    };
    assert_eq!(maps(1).order(&maps(1)), Ordering::Equal);
    assert_eq!(maps(2).order(&maps(1)), Ordering::Greater);
}

#[test]
fn maps_are_ordered_by_the_first_key_that_differs() {
    let map = |keys: &[(&str, i64)]| {
        Value::map(keys.iter().map(|(k, v)| ((*k).to_owned(), Value::int(*v))).collect())
    };
    assert_eq!(map(&[("a", 1)]).order(&map(&[("b", 1)])), Ordering::Greater);
    assert_eq!(map(&[("a", 1)]).order(&map(&[("a", 1), ("b", 1)])), Ordering::Less);
    assert_eq!(map(&[("a", 2)]).order(&map(&[("a", 1), ("b", 1)])), Ordering::Greater);
    assert_eq!(map(&[("a", 1), ("b", 2)]).order(&map(&[("a", 1), ("b", 2)])), Ordering::Equal);
}

#[test]
fn a_block_hides_what_it_holds_but_is_not_known_without_it() {
    let block = |inner: Value| {
        let attributes = Sealed::new(BTreeMap::from([("x".to_owned(), inner)]));
        Value::open(Data::Block(Arc::new(BlockValue { address: Address::new("migration.m"), attributes })))
    };
    let secret = block(Value { sensitive: Sensitivity::Secret, ..Value::int(1) });
    assert!(secret.is_sensitive_deep() && !secret.shows_secret());
    assert!(block(Value::unknown()).is_unknown_deep());
    assert_eq!(block(doubled(Value::int(1), 60)).to_json(), Ok("migration.m".into()));
}

#[test]
fn dropping_a_long_chain_takes_no_stack() {
    let chain = (0..200_000).fold(Value::int(1), |value, _| Value::list(vec![value]));
    assert_eq!(chain.depth(), 200_000);
    drop(chain);
}
