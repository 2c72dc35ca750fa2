//! A series of measurements for a plot: bounded, however many there are. Neighbours are drawn together when there is no
//! more room, and the least and the most of them are kept: a spike never disappears.

use serde::Serialize;

/// Points of a plot; a screen has not many more columns.
const BINS_MAX: usize = 480;

/// Measurements drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Bin {
    /// Wall clock of the first and the last, milliseconds.
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) count: u64,
}

/// A bounded series.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Series {
    pub(crate) bins: Vec<Bin>,
    /// So many measurements make a bin.
    #[serde(skip)]
    each: u64,
}

impl Series {
    /// Adds a measurement of a span of time, with the least and the most it had in it.
    pub(crate) fn push(&mut self, from_ms: i64, to_ms: i64, least: f64, most: f64) {
        let bin = Bin { from_ms, to_ms: to_ms.max(from_ms), least, most, count: 1 };
        let each = self.each.max(1);
        match self.bins.last_mut() {
            Some(last) if last.count < each => *last = together(last, &bin),
            _ => self.bins.push(bin),
        }
        if self.bins.len() > BINS_MAX {
            self.each = each * 2;
            self.bins = self
                .bins
                .chunks(2)
                .filter_map(|c| c.iter().copied().reduce(|a, b| together(&a, &b)))
                .collect();
        }
    }

    /// The most of all.
    pub(crate) fn most(&self) -> Option<f64> {
        self.bins.iter().map(|b| b.most).reduce(f64::max)
    }
}

fn together(a: &Bin, b: &Bin) -> Bin {
    Bin {
        from_ms: a.from_ms.min(b.from_ms),
        to_ms: a.to_ms.max(b.to_ms),
        least: a.least.min(b.least),
        most: a.most.max(b.most),
        count: a.count + b.count,
    }
}

#[cfg(test)]
mod tests {
    use super::{BINS_MAX, Series};

    #[test]
    fn a_million_measurements_are_bounded_and_keep_their_spike_and_their_hole() {
        let mut series = Series::default();
        for n in 0..1_000_000_i64 {
            let value = match n {
                777_777 => 9.0,
                333_333 => -1.0,
                _ => 1.0,
            };
            series.push(n, n, value, value);
        }
        assert!(series.bins.len() <= BINS_MAX);
        assert_eq!(series.bins.iter().map(|b| b.count).sum::<u64>(), 1_000_000);
        assert_eq!(series.most(), Some(9.0));
        assert!(series.bins.iter().any(|b| b.least < 0.0));
        assert!(series.bins.windows(2).all(|w| w[0].to_ms < w[1].from_ms), "in order, without overlap");
    }
}
