//! Changes that no fingerprint shows (protocol P29): what passes are asked to look for, and what they found.

use serde::{Deserialize, Serialize};

/// How a pass audits what its fingerprints call unchanged (protocol P29): `migration { audit }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Of a million unchanged records so many are read in each pass, others each time.
    pub sample_ppm: u32,
}

impl Audit {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Audit {
    /// 0.1 %.
    fn default() -> Self {
        Self { sample_ppm: 1000 }
    }
}

/// What a pass read although its fingerprints called it unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Records of the sample that were read.
    pub sampled: u64,
    /// Those of them that had changed all the same: the pass then compared all content.
    pub missed: u64,
    /// Records that a pass in the pause reads whatever their fingerprints say.
    pub unproven: u64,
    /// Their bytes: a term of the predicted pause.
    pub unproven_bytes: u64,
    /// Those of them that the verification in the pause reads again, on both sides: they were mapped.
    #[serde(default)]
    pub mapped_bytes: u64,
}

impl AuditReport {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
