//! How full the disks of a cluster are against its own watermarks.

use segue_contract::StepError;
use serde_json::Value;

use crate::search::cluster::{Ask, Cluster};

/// A node's disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) node: String,
    pub(crate) used: u64,
    pub(crate) total: u64,
}

impl Disk {
    fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// Percent used, rounded down.
    pub(crate) fn percent(&self) -> u64 {
        (self.used.saturating_mul(100)).checked_div(self.total).unwrap_or(0)
    }
}

/// From how much on a disk is too full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Watermark {
    /// Used, of a hundred.
    Percent(f64),
    /// Free bytes.
    Free(u64),
}

impl Watermark {
    /// Reads `90%`, `0.9`, `20gb`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        if let Some(percent) = text.strip_suffix('%') {
            return percent.trim().parse().ok().map(Self::Percent);
        }
        if let Ok(ratio) = text.parse::<f64>() {
            return Some(Self::Percent(ratio * 100.0));
        }
        let units = [("pb", 50), ("tb", 40), ("gb", 30), ("mb", 20), ("kb", 10), ("b", 0)];
        let (number, shift) =
            units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
        let number: f64 = number.trim().parse().ok()?;
        // Watermarks have a few digits: nothing is lost.
        Some(Self::Free((number * f64::from(1_u32 << 10).powi(shift / 10)) as u64))
    }

    /// Whether a disk is over it.
    pub(crate) fn is_reached(self, disk: &Disk) -> bool {
        match self {
            Self::Percent(most) => disk.total > 0 && disk.used as f64 * 100.0 >= most * disk.total as f64,
            Self::Free(least) => disk.free() <= least,
        }
    }
}

/// The disks of a cluster's data nodes, and its marks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disks {
    pub(crate) disks: Vec<Disk>,
    /// From here on no shard is put on a node.
    pub(crate) high: Option<Watermark>,
    /// From here on indices are closed to writes.
    pub(crate) flood: Option<Watermark>,
}

impl Disks {
    /// Asks the cluster. `None`: it does not look at disks, or does not say.
    pub(crate) fn ask(cluster: &Cluster) -> Result<Option<Self>, StepError> {
        let path = "/_cluster/settings?include_defaults=true&flat_settings=true\
            &filter_path=*.cluster.routing.allocation.disk.*,*.cluster.max_shards_per_node";
        let Ok(Ok(settings)) =
            cluster.answer(&Ask::get(path)).map(|a| a.map(|s| super::cluster_findings::merged(&s)))
        else {
            return Ok(None);
        };
        let text = |name: &str| {
            settings.get(&format!("cluster.routing.allocation.disk.{name}")).and_then(Value::as_str)
        };
        if text("threshold_enabled") == Some("false") {
            return Ok(None);
        }
        let rows =
            cluster.json(&Ask::get("/_cat/allocation?format=json&bytes=b&h=node,disk.used,disk.total"))?;
        let rows = rows.as_array().into_iter().flatten();
        let disk = |row: &Value| {
            let number = |name: &str| row[name].as_str().and_then(|n| n.parse().ok());
            Some(Disk {
                node: row["node"].as_str()?.to_owned(),
                used: number("disk.used")?,
                total: number("disk.total")?,
            })
        };
        Ok(Some(Self {
            disks: rows.filter_map(disk).collect(),
            high: text("watermark.high").and_then(Watermark::parse),
            flood: text("watermark.flood_stage").and_then(Watermark::parse),
        }))
    }

    /// The fullest disk over a mark.
    pub(crate) fn over(&self, mark: Option<Watermark>) -> Option<&Disk> {
        let over = self.disks.iter().filter(|disk| mark.is_some_and(|mark| mark.is_reached(disk)));
        over.max_by_key(|disk| disk.percent())
    }

    /// The fullest disk.
    pub(crate) fn fullest(&self) -> Option<&Disk> {
        self.disks.iter().max_by_key(|disk| disk.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermarks_are_percents_ratios_or_room() {
        let disk = Disk { node: "n".to_owned(), used: 91, total: 100 };
        let reached = |text: &str| Watermark::parse(text).expect("valid").is_reached(&disk);
        let found = ["90%", "91%", "92%", "0.9", "0.95", "9b", "8b", "1gb"].map(reached);
        assert_eq!(found, [true, true, false, true, false, true, false, true]);
        assert_eq!(Watermark::parse("1.5kb"), Some(Watermark::Free(1536)));
        assert_eq!([Watermark::parse(""), Watermark::parse("much")], [None, None]);
    }
}
