//! What Segue changed on systems, what became of it, and how each is undone: markers, endpoints that it made, sides
//! that it closed, routes that it set.

use std::collections::BTreeMap;

use segue_contract::{Address, BlockRef, QuiesceKind, Registry, Side};
use segue_plan::event::{Attempt, MigrationRecord, Resource};
use serde::Serialize;

/// A change.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangeLine {
    /// What it is on.
    pub(crate) on: Address,
    pub(crate) what: String,
    pub(crate) at_ms: i64,
    /// What a person types or does to undo it.
    pub(crate) undo: String,
    /// When it was undone or given up; `None`: it is in place.
    pub(crate) released_ms: Option<i64>,
}

/// The last change of each kind on each thing.
#[derive(Default)]
pub(super) struct Changes {
    lines: BTreeMap<(Address, Kind), ChangeLine>,
    records: BTreeMap<Address, MigrationRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Made,
    Marker,
    Closed,
    Route,
    Resource,
}

impl Changes {
    pub(super) fn declared(&mut self, record: &MigrationRecord) {
        self.records.insert(record.migration.clone(), record.clone());
    }

    fn put(&mut self, on: &Address, kind: Kind, what: String, at_ms: i64, undo: String) {
        let line = ChangeLine { on: on.clone(), what, at_ms, undo, released_ms: None };
        self.lines.insert((on.clone(), kind), line);
    }

    fn release(&mut self, on: &Address, kind: Kind, at_ms: i64) {
        if let Some(line) = self.lines.get_mut(&(on.clone(), kind)) {
            line.released_ms.get_or_insert(at_ms);
        }
    }

    pub(super) fn made(&mut self, endpoint: &Address, at_ms: i64) {
        let undo = "abandon it before the switch: live = \"source\" and finished = true; after it, it serves";
        self.put(endpoint, Kind::Made, "made by segue".to_owned(), at_ms, undo.to_owned());
    }

    pub(super) fn claimed(&mut self, migration: &Address, epoch: u64, at_ms: i64, registry: &Registry) {
        let Some(record) = self.records.get(migration).cloned() else { return };
        for block in [&record.source, &record.target] {
            let by_hand = registry.endpoint(block).map(|e| e.marker_by_hand(block));
            let undo = match by_hand {
                Ok(marker) => format!("finished = true takes it away; it is {marker}"),
                Err(_) => "finished = true takes it away".to_owned(),
            };
            self.put(
                &block.address,
                Kind::Marker,
                format!("marker of {migration}, epoch {epoch}"),
                at_ms,
                undo,
            );
        }
    }

    pub(super) fn unclaimed(&mut self, migration: &Address, at_ms: i64) {
        let Some(record) = self.records.get(migration).cloned() else { return };
        for block in [&record.source, &record.target] {
            self.release(&block.address, Kind::Marker, at_ms);
        }
    }

    pub(super) fn closed(&mut self, attempt: &Attempt, at_ms: i64, registry: &Registry) {
        for member in &attempt.members {
            let by_hand = registry.quiesce(&member.close.block).map(|q| q.open_by_hand(&member.close));
            let what = match member.close_kind {
                QuiesceKind::Data => format!("writes refused ({})", member.close.block.address),
                QuiesceKind::Writers => format!("writers stopped ({})", member.close.block.address),
            };
            let undo = by_hand.unwrap_or_else(|_| "segue abort, segue switch-back".to_owned());
            self.put(&member.close.endpoint.address, Kind::Closed, what, at_ms, undo);
        }
    }

    /// The sides that served take writes again.
    pub(super) fn reopened(&mut self, attempt: &Attempt, at_ms: i64) {
        for member in &attempt.members {
            self.release(&member.close.endpoint.address, Kind::Closed, at_ms);
        }
    }

    /// The new sides take writes: what closed them before is gone, and writers that were stopped run.
    pub(super) fn opened(&mut self, attempt: &Attempt, at_ms: i64) {
        for member in &attempt.members {
            self.release(&member.open.endpoint.address, Kind::Closed, at_ms);
            if member.close_kind == QuiesceKind::Writers {
                self.release(&member.close.endpoint.address, Kind::Closed, at_ms);
            }
        }
    }

    pub(super) fn routed(&mut self, route: &BlockRef, side: Side, at_ms: i64, registry: &Registry) {
        let by_hand = registry.route(route).map(|r| r.set_by_hand(route, side.other()));
        let undo = by_hand.unwrap_or_else(|_| "segue switch-back".to_owned());
        self.put(&route.address, Kind::Route, format!("points to the {side}"), at_ms, undo);
    }

    /// Something temporary that has no event of its own.
    pub(super) fn resource(&mut self, resource: &Resource, at_ms: i64) {
        let what = format!("{} at {}", resource.what, resource.place);
        self.put(&Address::new(resource.id.clone()), Kind::Resource, what, at_ms, "segue cleanup".to_owned());
    }

    pub(super) fn resource_gone(&mut self, id: &str, at_ms: i64) {
        self.release(&Address::new(id), Kind::Resource, at_ms);
    }

    /// Abandoned: what was made at the target is gone.
    pub(super) fn abandoned(&mut self, cutover: &Address, at_ms: i64) {
        let records = self.records.values();
        let targets: Vec<Address> = records
            .filter(|r| r.cutover.as_ref() == Some(cutover))
            .map(|r| r.target.address.clone())
            .collect();
        for target in &targets {
            self.release(target, Kind::Made, at_ms);
        }
    }

    pub(super) fn into_lines(self) -> Vec<ChangeLine> {
        let mut lines: Vec<ChangeLine> = self.lines.into_values().collect();
        lines.sort_by_key(|l| l.at_ms);
        lines
    }
}
