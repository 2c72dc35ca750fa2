//! The graph of a plan's steps: acyclic, ordered the same way every time, and drawable.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use segue_contract::Address;

use crate::plan::PlanStep;

/// Steps that wait for each other: each for the next, the last for the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these wait for each other: {}", .path.iter().map(Address::as_str).collect::<Vec<_>>().join(" -> "))]
pub struct Cycle {
    /// The steps; the first is repeated at the end.
    pub path: Vec<Address>,
}

fn graph_of(steps: &[PlanStep]) -> DiGraph<usize, ()> {
    let mut graph = DiGraph::with_capacity(steps.len(), steps.len() * 2);
    let nodes: Vec<NodeIndex> = (0..steps.len()).map(|i| graph.add_node(i)).collect();
    let by_address: BTreeMap<&Address, NodeIndex> =
        steps.iter().zip(&nodes).map(|(step, node)| (&step.address, *node)).collect();
    for (step, node) in steps.iter().zip(&nodes) {
        for needed in &step.waits_for {
            if let Some(before) = by_address.get(needed) {
                graph.update_edge(*before, *node, ());
            }
        }
    }
    graph
}

/// Puts the steps in execution order: every step after those it waits for, otherwise as they came.
/// A name in `waits_for` that is no step of this plan is done already and counts for nothing.
pub fn order(steps: Vec<PlanStep>) -> Result<Vec<PlanStep>, Cycle> {
    let graph = graph_of(&steps);
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, Direction::Incoming).count()).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| Reverse(i)).collect();
    let mut sorted = Vec::with_capacity(steps.len());
    while let Some(Reverse(i)) = ready.pop() {
        sorted.push(i);
        for next in graph.neighbors_directed(NodeIndex::new(i), Direction::Outgoing) {
            if let Some(count) = waiting.get_mut(next.index()) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(next.index()));
                }
            }
        }
    }
    if sorted.len() < steps.len() {
        return Err(cycle(&graph, &steps, &waiting));
    }
    let mut slots: Vec<Option<PlanStep>> = steps.into_iter().map(Some).collect();
    Ok(sorted.into_iter().filter_map(|i| slots.get_mut(i).and_then(Option::take)).collect())
}

/// Walks backwards from a step that never became ready until one comes twice.
fn cycle(graph: &DiGraph<usize, ()>, steps: &[PlanStep], waiting: &[usize]) -> Cycle {
    let stuck = |n: &NodeIndex| waiting.get(n.index()).is_some_and(|c| *c > 0);
    let mut path: Vec<NodeIndex> = Vec::new();
    let mut at = graph.node_indices().find(stuck);
    while let Some(node) = at {
        if let Some(start) = path.iter().position(|n| *n == node) {
            path.drain(..start);
            path.push(node);
            break;
        }
        path.push(node);
        at = graph.neighbors_directed(node, Direction::Incoming).filter(|n| stuck(n)).min();
    }
    let name = |n: &NodeIndex| steps.get(n.index()).map(|s| s.address.clone());
    Cycle { path: path.iter().rev().filter_map(name).collect() }
}

/// The graph in Graphviz' dot language.
pub fn dot(steps: &[PlanStep]) -> String {
    let graph = graph_of(steps);
    let mut text = String::from("digraph plan {\n  rankdir = LR;\n  node [shape = box];\n");
    for step in steps {
        let _ = writeln!(text, "  {:?};", step.address.as_str());
    }
    for edge in graph.edge_references() {
        if let (Some(a), Some(b)) = (steps.get(edge.source().index()), steps.get(edge.target().index())) {
            let _ = writeln!(text, "  {:?} -> {:?};", a.address.as_str(), b.address.as_str());
        }
    }
    text.push_str("}\n");
    text
}

/// The graph in Mermaid's language.
pub fn mermaid(steps: &[PlanStep]) -> String {
    let graph = graph_of(steps);
    let mut text = String::from("flowchart LR\n");
    for (i, step) in steps.iter().enumerate() {
        let label = step.address.as_str().replace('"', "#quot;");
        let _ = writeln!(text, "  s{i}[\"{label}\"]");
    }
    for edge in graph.edge_references() {
        let _ = writeln!(text, "  s{} --> s{}", edge.source().index(), edge.target().index());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlanStep, StepKind};

    fn step(name: &str, waits_for: &[&str]) -> PlanStep {
        let mut step = PlanStep::new(&Address::new(name), Address::new(name), StepKind::Check, "test");
        step.waits_for = waits_for.iter().map(|w| Address::new(*w)).collect();
        step
    }

    fn names(steps: &[PlanStep]) -> Vec<&str> {
        steps.iter().map(|s| s.address.as_str()).collect()
    }

    #[test]
    fn keeps_the_given_order_where_nothing_waits() {
        let sorted = order(vec![step("b", &[]), step("a", &[]), step("c", &["a"])]).expect("acyclic");
        assert_eq!(names(&sorted), ["b", "a", "c"]);
    }

    #[test]
    fn puts_a_step_after_what_it_waits_for() {
        let sorted = order(vec![step("a", &["c"]), step("b", &["a"]), step("c", &[])]).expect("acyclic");
        assert_eq!(names(&sorted), ["c", "a", "b"]);
    }

    #[test]
    fn names_the_whole_cycle() {
        let cycle =
            order(vec![step("x", &[]), step("a", &["b"]), step("b", &["c"]), step("c", &["a"])]).unwrap_err();
        assert_eq!(cycle.path.first(), cycle.path.last());
        assert_eq!(cycle.path.len(), 4);
    }

    #[test]
    fn a_name_outside_the_plan_is_done() {
        assert_eq!(order(vec![step("a", &["gone"])]).expect("acyclic").len(), 1);
    }
}
