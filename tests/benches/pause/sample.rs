//! Measurements of one thing, in milliseconds.

#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn push(&mut self, ms: f64) {
        self.0.push(ms);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn worst(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// How many are no more than their counterparts, in percent.
    pub(crate) fn within(&self, bounds: &Self) -> f64 {
        let kept = self.0.iter().zip(&bounds.0).filter(|(ms, bound)| ms <= bound).count();
        100.0 * kept as f64 / self.0.len().max(1) as f64
    }
}
