//! What a failure kept from being begun: cutovers that wait for others, wave after wave.

use std::collections::{BTreeMap, BTreeSet};

use segue_contract::Address;

use super::{Node, Work};
use crate::execute::{Ground, RunEvent};

/// Says of every cutover that was not begun for which other one's sake that is.
pub(super) fn tell_what_was_not_begun(
    ground: &Ground,
    nodes: &[Node],
    waiting: &BTreeSet<usize>,
    done: &BTreeSet<Address>,
) {
    for (cutover, others) in not_begun(nodes, waiting, done) {
        let names: Vec<&str> = others.iter().map(Address::as_str).collect();
        let text =
            format!("{cutover} was not begun: it waits for {}, which did not come through", names.join(", "));
        ground.tell(&RunEvent::Said { text });
    }
}

/// By cutover that was not begun the cutovers that it waits for.
fn not_begun(
    nodes: &[Node],
    waiting: &BTreeSet<usize>,
    done: &BTreeSet<Address>,
) -> BTreeMap<Address, BTreeSet<Address>> {
    let switches = |node: &Node| match &node.work {
        Work::Cutover(cutover, _) | Work::Watch(cutover) => Some(cutover.clone()),
        _ => None,
    };
    let mut found: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for node in waiting.iter().filter_map(|i| nodes.get(*i)) {
        let Some(cutover) = switches(node) else { continue };
        let missing: BTreeSet<&Address> = node.needs.difference(done).collect();
        let others = nodes.iter().filter(|n| n.steps.iter().any(|step| missing.contains(step)));
        let others: BTreeSet<Address> =
            others.filter_map(switches).filter(|other| *other != cutover).collect();
        if !others.is_empty() {
            found.entry(cutover).or_default().extend(others);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use segue_contract::Side;

    use super::*;

    #[test]
    fn a_wave_that_failed_is_named_by_those_that_wait_for_it() {
        let cutover = |n: u8| Address::new(format!("cutover.{n}"));
        let node = |n: u8, needs: &[u8]| Node {
            steps: BTreeSet::from([cutover(n).step("retain")]),
            needs: needs.iter().map(|n| cutover(*n).step("retain")).collect(),
            work: Work::Cutover(cutover(n), Side::Target),
        };
        let nodes = [node(1, &[]), node(2, &[]), node(3, &[1, 2]), node(4, &[3])];
        let done = BTreeSet::from([cutover(2).step("retain")]);
        let found = not_begun(&nodes, &BTreeSet::from([2, 3]), &done);
        let wanted = [(cutover(3), BTreeSet::from([cutover(1)])), (cutover(4), BTreeSet::from([cutover(3)]))];
        assert_eq!(found, BTreeMap::from(wanted));
    }
}
