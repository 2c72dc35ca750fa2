//! Search clusters, from the released binary: Elasticsearch 7.10.2 to OpenSearch 2.19.4, WordNet's documents in three shards.
//! One command: `cargo bench --package segue-tests --bench search`. It needs `tests/run`'s packages and npm (for elasticdump).
//!
//! * `load`: a whole load beside the target's own `_reindex` and elasticdump; a pass with 1 % changed beside a load; a full
//!   verification beside a raw scan of both sides. The rounds (`SEGUE_BENCH_ROUNDS`, 3) take turns, the best of each counts;
//! * `pause`: the write pause of 50 switches to and fro (`SEGUE_BENCH_SWITCHES`) with live writers, phase by phase;
//! * `growth`: the same over fewer switches (`SEGUE_BENCH_GROWTH_SWITCHES`, 10) with 20,000, 117,659 and 470,636 documents.
//!
//! Each says how much memory Segue took at most. Names after `--` run those alone.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

mod load;
mod pause;
#[path = "../pause/phases.rs"]
mod phases;
mod rivals;
#[expect(dead_code, reason = "what is not predicted has no bounds to be kept to")]
#[path = "../pause/sample.rs"]
mod sample;
mod site;
mod words;

use segue_tests::servers::wordnet;

/// Sizes between which growth shows: a small index, all of WordNet, and four times that.
const SIZES: [usize; 3] = [20_000, wordnet::COUNT, 4 * wordnet::COUNT];

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let runs = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    let documents = number("SEGUE_BENCH_DOCUMENTS", wordnet::COUNT);
    let servers = site::Servers::start();
    if runs("load") {
        load::run(&servers, documents, number("SEGUE_BENCH_ROUNDS", 3));
    }
    if runs("pause") {
        pause::run(&servers, documents, number("SEGUE_BENCH_SWITCHES", 50));
    }
    if runs("growth") {
        let switches = number("SEGUE_BENCH_GROWTH_SWITCHES", 10);
        let grown: Vec<pause::Grown> =
            SIZES.into_iter().map(|size| pause::run(&servers, size, switches)).collect();
        pause::print_growth(&grown);
    }
}
