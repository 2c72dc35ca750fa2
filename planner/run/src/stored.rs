//! Keeping the folded state in the store, in pieces: a migration or a cutover each under its address, the
//! rest under one key, so that a batch holds what changed and no more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use segue_contract::Address;
use segue_plan::state::{STATE_VERSION, State};

use crate::journal::Mark;
use crate::store::{Batch, StateStore, StoreError};

const MIGRATION: &str = "migration/";
const CUTOVER: &str = "cutover/";
const REST: &[u8] = b"rest";

/// Why a stored state is of no use: it is made anew from the journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Written by another version.
    #[error("the stored state has another layout: {0}")]
    Layout(#[from] serde_json::Error),
}

type Pieces = BTreeMap<Vec<u8>, Vec<u8>>;

fn pieces(state: &State) -> Result<Pieces, serde_json::Error> {
    let key = |kind: &str, address: &Address| format!("{kind}{address}").into_bytes();
    let mut pieces = Pieces::new();
    for (address, migration) in &state.migrations {
        pieces.insert(key(MIGRATION, address), serde_json::to_vec(migration)?);
    }
    for (address, cutover) in &state.cutovers {
        pieces.insert(key(CUTOVER, address), serde_json::to_vec(cutover)?);
    }
    let rest = State { migrations: BTreeMap::new(), cutovers: BTreeMap::new(), ..state.clone() };
    pieces.insert(REST.to_vec(), serde_json::to_vec(&rest)?);
    Ok(pieces)
}

fn read_pieces(store: &dyn StateStore) -> Result<Pieces, StoreError> {
    let mut pieces = Pieces::new();
    store.visit(b"", &mut |key, value| {
        pieces.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(pieces)
}

/// The stored state and the event that it stands at; `None`: the store is new.
pub(crate) fn load(store: &dyn StateStore) -> Result<Option<(State, Mark)>, StoredError> {
    let Some(mark) = store.stands_at() else {
        return Ok(None);
    };
    let pieces = read_pieces(store)?;
    let Some(rest) = pieces.get(REST) else {
        return Ok(None);
    };
    let mut state: State = serde_json::from_slice(rest)?;
    if state.version != STATE_VERSION {
        // An earlier fold: what it did not keep is in the journal.
        return Ok(None);
    }
    for (key, value) in &pieces {
        let Ok(key) = std::str::from_utf8(key) else {
            continue;
        };
        if let Some(address) = key.strip_prefix(MIGRATION) {
            state.migrations.insert(Address::new(address), serde_json::from_slice(value)?);
        } else if let Some(address) = key.strip_prefix(CUTOVER) {
            state.cutovers.insert(Address::new(address), serde_json::from_slice(value)?);
        }
    }
    Ok(Some((state, mark)))
}

/// Stores a state as of an event: what changed, in one batch.
pub(crate) fn save(store: &mut dyn StateStore, state: &State, at: Mark) -> Result<(), StoredError> {
    if store.stands_at().is_some_and(|mark| mark == at) {
        return Ok(());
    }
    let (before, now) = (read_pieces(store)?, pieces(state)?);
    let mut batch = Batch::default();
    for (key, value) in &now {
        if before.get(key) != Some(value) {
            batch.put(key.clone(), value.clone());
        }
    }
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        batch.remove(key.clone());
    }
    Ok(store.put(&batch, at)?)
}

#[cfg(test)]
mod tests {
    use segue_plan::event::{Entry, Event, WIRE_VERSION};
    use segue_plan::state::fold;

    use super::*;
    use crate::journal::Seq;
    use crate::store::MemoryStore;

    #[test]
    fn a_state_comes_back_as_it_was_stored_and_what_is_gone_is_gone() {
        let mut store = MemoryStore::default();
        assert!(load(&store).expect("loads").is_none());
        let mut state = State::default();
        let cutover = Address::new("cutover.a[\"x\"]");
        let looked = Event::StaleSettled { cutover: cutover.clone(), by: "u".into() };
        fold(&mut state, &Entry { v: WIRE_VERSION, at_ms: 1, run: 1, event: looked });
        save(&mut store, &state, Mark { seq: Seq(3), checksum: 7 }).expect("saves");
        let (back, mark) = load(&store).expect("loads").expect("there");
        assert_eq!((back, mark.seq), (state.clone(), Seq(3)));
        let forgot = Event::AddressForgotten { address: cutover };
        fold(&mut state, &Entry { v: WIRE_VERSION, at_ms: 2, run: 1, event: forgot });
        save(&mut store, &state, Mark { seq: Seq(4), checksum: 8 }).expect("saves");
        assert_eq!(load(&store).expect("loads").expect("there").0, state);
    }
}
