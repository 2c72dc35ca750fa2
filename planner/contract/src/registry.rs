//! Endpoints, and the register of everything that providers offer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    BlockKind, BlockRef, BlockSchema, Claim, EndpointFacts, Engine, Fence, InUse, Marker, MarkerError, Probe,
    Quiesce, Route, StepError, StepIo, SystemPath,
};

/// A system that can be a source or a target.
pub trait Endpoint: Send + Sync {
    /// Looks at the endpoint; changes nothing.
    fn observe(&self, block: &BlockRef, io: &dyn StepIo) -> Result<EndpointFacts, StepError>;

    /// Where the block says that it is, by its text alone: nothing is looked at. Two blocks with a place in common, or
    /// one inside the other, are one system. Empty: the text does not tell.
    fn declared_places(&self, block: &BlockRef) -> Vec<SystemPath> {
        let _ = block;
        Vec::new()
    }

    /// Findings about the pair: one inside the other, the same system twice, names that collide by case.
    fn check_pair(&self, source: &BlockRef, target: &BlockRef) -> Vec<crate::Finding>;

    /// What only looking at both sides shows of a migration's units: what cannot be carried over, or is held otherwise
    /// there. Changes nothing. What it finds of a side that does not answer is no more than a warning.
    fn compare(
        &self,
        source: &BlockRef,
        target: &BlockRef,
        units: &[crate::UnitName],
        io: &dyn StepIo,
    ) -> Vec<crate::Finding> {
        let _ = (source, target, units, io);
        Vec::new()
    }

    /// A place of the same kind as `target`, beside it on the same storage, that no client knows: what a rehearsal
    /// writes to. `tag` is a state's own, so that two states never name the same place. Changes nothing. With what
    /// is to be said of the place: that its storage is another one.
    ///
    /// # Errors
    /// There is none: this kind of target cannot be rehearsed.
    fn scratch(&self, target: &BlockRef, tag: &str) -> Result<(BlockRef, Vec<crate::Finding>), StepError> {
        let _ = tag;
        Err(StepError::permanent(format!(
            "{} cannot be rehearsed: a {} knows no place beside itself",
            target.address, target.provider
        ))
        .remedy("take the rehearse block out of the cutover"))
    }

    /// Makes the endpoint so that it can receive data. Returns whether it was made here (and so may be
    /// released on abandon).
    fn provision(&self, block: &BlockRef, io: &dyn StepIo) -> Result<bool, StepError>;

    /// Who still holds it open (protocol P3).
    fn in_use(&self, block: &BlockRef, io: &dyn StepIo) -> Result<InUse, StepError>;

    /// Proves that a marker which is there says something of what it marks: one that lies beside a mount point says nothing
    /// once that is not mounted (protocol P27).
    ///
    /// # Errors
    /// It says nothing.
    fn prove(&self, _block: &BlockRef, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// The marker that is there.
    fn marker(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Option<Marker>, MarkerError>;

    /// Writes a marker if none is there, or if the one there has this state's id (or the one adopted
    /// from) and no higher epoch: atomically, so that of two claimants one is refused.
    fn write_marker(&self, block: &BlockRef, claim: &Claim, io: &dyn StepIo) -> Result<(), MarkerError>;

    /// Takes the marker away if it is this state's; absent is fine.
    fn remove_marker(&self, block: &BlockRef, state_id: &str, io: &dyn StepIo) -> Result<(), MarkerError>;

    /// Where the marker lies, for people.
    fn marker_by_hand(&self, block: &BlockRef) -> String;
}

/// Everything that providers offer, by block type.
#[derive(Default, Clone)]
pub struct Registry {
    schemas: Vec<BlockSchema>,
    endpoints: BTreeMap<String, Arc<dyn Endpoint>>,
    engines: BTreeMap<(String, String), Arc<dyn Engine>>,
    quiesces: BTreeMap<String, Arc<dyn Quiesce>>,
    routes: BTreeMap<String, Arc<dyn Route>>,
    gates: BTreeMap<String, Arc<dyn Probe>>,
    watches: BTreeMap<String, Arc<dyn Probe>>,
    fences: BTreeMap<String, Arc<dyn Fence>>,
}

impl Registry {
    /// Adds a schema; the roles are added by the calls below.
    pub fn schema(&mut self, schema: BlockSchema) -> &mut Self {
        self.schemas.push(schema);
        self
    }

    /// Adds an endpoint type.
    pub fn add_endpoint(&mut self, provider: &str, endpoint: Arc<dyn Endpoint>) -> &mut Self {
        self.endpoints.insert(provider.to_owned(), endpoint);
        self
    }

    /// Adds the engine that moves data from one endpoint type to another (and back).
    pub fn add_engine(&mut self, source: &str, target: &str, engine: Arc<dyn Engine>) -> &mut Self {
        self.engines.insert((source.to_owned(), target.to_owned()), engine);
        self
    }

    /// Adds a quiesce method.
    pub fn add_quiesce(&mut self, name: &str, quiesce: Arc<dyn Quiesce>) -> &mut Self {
        self.quiesces.insert(name.to_owned(), quiesce);
        self
    }

    /// Adds a route type.
    pub fn add_route(&mut self, name: &str, route: Arc<dyn Route>) -> &mut Self {
        self.routes.insert(name.to_owned(), route);
        self
    }

    /// Adds a gate type beyond the language's own.
    pub fn add_gate(&mut self, name: &str, gate: Arc<dyn Probe>) -> &mut Self {
        self.gates.insert(name.to_owned(), gate);
        self
    }

    /// Adds a watch type.
    pub fn add_watch(&mut self, name: &str, watch: Arc<dyn Probe>) -> &mut Self {
        self.watches.insert(name.to_owned(), watch);
        self
    }

    /// Adds a way to fence a side from outside.
    pub fn add_fence(&mut self, name: &str, fence: Arc<dyn Fence>) -> &mut Self {
        self.fences.insert(name.to_owned(), fence);
        self
    }

    /// All schemas, in the order of registration.
    pub fn schemas(&self) -> &[BlockSchema] {
        &self.schemas
    }

    /// The schema of one block type.
    pub fn find_schema(&self, kind: BlockKind, name: &str) -> Option<&BlockSchema> {
        self.schemas.iter().find(|s| s.kind == kind && s.name == name)
    }

    /// The endpoint of a block.
    pub fn endpoint(&self, block: &BlockRef) -> Result<&Arc<dyn Endpoint>, StepError> {
        self.endpoints.get(&block.provider).ok_or_else(|| unknown(block, "endpoint"))
    }

    /// The quiesce method of a block.
    pub fn quiesce(&self, block: &BlockRef) -> Result<&Arc<dyn Quiesce>, StepError> {
        self.quiesces.get(&block.provider).ok_or_else(|| unknown(block, "quiesce method"))
    }

    /// The route of a block.
    pub fn route(&self, block: &BlockRef) -> Result<&Arc<dyn Route>, StepError> {
        self.routes.get(&block.provider).ok_or_else(|| unknown(block, "route"))
    }

    /// The probe of a gate block.
    pub fn gate(&self, block: &BlockRef) -> Result<&Arc<dyn Probe>, StepError> {
        self.gates.get(&block.provider).ok_or_else(|| unknown(block, "gate"))
    }

    /// What fences a side from outside.
    pub fn fence(&self, block: &BlockRef) -> Result<&Arc<dyn Fence>, StepError> {
        self.fences.get(&block.provider).ok_or_else(|| unknown(block, "fence"))
    }

    /// The probe of a watch block.
    pub fn watch(&self, block: &BlockRef) -> Result<&Arc<dyn Probe>, StepError> {
        self.watches.get(&block.provider).ok_or_else(|| unknown(block, "watch"))
    }

    /// All engines, by the types of their endpoints.
    pub fn engines(&self) -> impl Iterator<Item = &Arc<dyn Engine>> {
        self.engines.values()
    }

    /// The engine between two endpoints of a spec, as declared (not as turned round by a switch back).
    pub fn engine(&self, source: &BlockRef, target: &BlockRef) -> Result<&Arc<dyn Engine>, StepError> {
        self.engines.get(&(source.provider.clone(), target.provider.clone())).ok_or_else(|| {
            StepError::permanent(format!(
                "nothing moves data from a {} to a {} ({} to {})",
                source.provider, target.provider, source.address, target.address
            ))
        })
    }
}

fn unknown(block: &BlockRef, what: &str) -> StepError {
    StepError::permanent(format!("this version has no {what} named {:?} ({})", block.provider, block.address))
        .remedy("run the version of segue that wrote this state, or one after it")
}
