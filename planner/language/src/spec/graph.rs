//! The order in which locals and blocks are evaluated: what is referred to comes first.

use crate::syntax::{Diagnostic, Diagnostics, Span};

/// Something that is evaluated, with what it refers to.
#[derive(Debug)]
pub(super) struct Node {
    /// As it is printed: `local.a`, `migration.site`.
    pub(super) name: String,
    /// Indices of nodes that it refers to, with the place of the reference.
    pub(super) needs: Vec<(usize, Span)>,
}

/// Indices in an order in which every node comes after what it needs. Nodes on a cycle are reported, with the
/// whole path, and left out. Deterministic; no recursion, so chains may be long.
pub(super) fn order(nodes: &[Node], diagnostics: &mut Diagnostics) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; nodes.len()];
    let mut on_cycle = vec![false; nodes.len()];
    let mut out = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // A node, and which of its needs is next.
        let mut stack: Vec<(usize, usize)> = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            let Some((need, _)) = nodes[node].needs.get(*next) else {
                marks[node] = Mark::Done;
                out.push(node);
                stack.pop();
                continue;
            };
            *next += 1;
            match marks[*need] {
                Mark::Done => {}
                Mark::New => {
                    marks[*need] = Mark::Open;
                    stack.push((*need, 0));
                }
                Mark::Open => {
                    let from = stack.iter().position(|(n, _)| n == need).unwrap_or(0);
                    let path: Vec<(usize, usize)> = stack[from..].iter().map(|(n, i)| (*n, i - 1)).collect();
                    path.iter().for_each(|(n, _)| on_cycle[*n] = true);
                    diagnostics.push(cycle(nodes, &path));
                }
            }
        }
    }
    out.retain(|n| !on_cycle[*n]);
    out
}

/// Labels of a long cycle are cut off here; its path is still printed whole.
const MAX_LABELS: usize = 8;

fn cycle(nodes: &[Node], path: &[(usize, usize)]) -> Diagnostic {
    let mut names: Vec<&str> = path.iter().map(|(n, _)| nodes[*n].name.as_str()).collect();
    names.extend(names.first().copied());
    let summary = if path.len() == 1 {
        format!("{} refers to itself", names[0])
    } else {
        format!("these refer to each other in a circle: {}", names.join(" -> "))
    };
    let mut diagnostic = Diagnostic::error("SPEC_CYCLE", summary);
    for (node, need) in path.iter().take(MAX_LABELS) {
        let (to, span) = &nodes[*node].needs[*need];
        diagnostic =
            diagnostic.at(span.clone(), format!("{} refers to {}", nodes[*node].name, nodes[*to].name));
    }
    diagnostic.help("take one of these references out")
}

#[cfg(test)]
mod tests {
    use super::{Node, order};
    use crate::syntax::{Diagnostics, Span};

    #[test]
    fn long_chains_are_ordered_and_cycles_are_named_whole() {
        let span = Span { file: 0, range: 0..0 };
        let n = 100_000;
        let mut nodes: Vec<Node> =
            (0..n).map(|i| Node { name: format!("n{i}"), needs: vec![(i + 1, span.clone())] }).collect();
        nodes.push(Node { name: "end".to_owned(), needs: vec![] });
        let mut diagnostics = Diagnostics::default();
        let ordered = order(&nodes, &mut diagnostics);
        assert_eq!((ordered[0], ordered.len()), (n, n + 1));

        let node = |name: &str, needs: &[usize]| Node {
            name: name.to_owned(),
            needs: needs.iter().map(|i| (*i, span.clone())).collect(),
        };
        let nodes = [node("a", &[1]), node("b", &[2]), node("c", &[1]), node("d", &[3])];
        assert_eq!(order(&nodes, &mut diagnostics), [0]);
        let said: Vec<String> = diagnostics.into_sorted().into_iter().map(|d| d.summary).collect();
        assert_eq!(said[0], "these refer to each other in a circle: b -> c -> b");
    }
}
