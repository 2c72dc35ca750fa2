//! The messages that are asked: a question, and an update with what must still be true for it (RFC 2136, 2).

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, MessageBuilder, PushError};
use domain::base::rdata::UnknownRecordData;
use domain::base::record::Ttl;
use segue_contract::Side;

use super::declared::{Declared, Kind, Value, WireName};
use super::seen::Seen;

/// A message that may still be signed.
pub(super) type Draft = AdditionalBuilder<Vec<u8>>;

fn begin(opcode: Opcode) -> MessageBuilder<Vec<u8>> {
    let mut id = [0; 2];
    // Without randomness the number is 0: the socket's port and the key tell answers apart as well.
    let _ = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
    let mut builder = MessageBuilder::new_vec();
    let header = builder.header_mut();
    header.set_id(u16::from_ne_bytes(id));
    header.set_opcode(opcode);
    builder
}

/// What is there at a name, of a type; nobody else is asked for it.
pub(super) fn query(name: &WireName, rtype: Rtype) -> Result<Draft, PushError> {
    let mut question = begin(Opcode::QUERY).question();
    question.push((name, rtype))?;
    Ok(question.additional())
}

/// What an update does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Replaces the record set by the values of a side.
    To(Side),
    /// Makes what is there what is there: the server looks whether it may, and changes nothing.
    Nothing,
}

/// Changes the record set, if it is still what was seen.
///
/// # Errors
/// It does not fit into a message.
pub(super) fn update(declared: &Declared, seen: &Seen, change: Change) -> Result<Draft, PushError> {
    let Declared { zone, name, kind, ttl_s, .. } = declared;
    let none = Ttl::from_secs(0);
    let mut zone_section = begin(Opcode::UPDATE).question();
    zone_section.push((zone, Rtype::SOA))?;
    let mut prerequisites = zone_section.answer();
    if seen.values.is_empty() {
        // No such record set.
        prerequisites.push((name, Class::NONE, none, data(*kind, &[])?))?;
    }
    for value in &seen.values {
        // Exactly these values.
        prerequisites.push((name, Class::IN, none, data(*kind, &value.wire)?))?;
    }
    let mut updates = prerequisites.authority();
    let (values, ttl_s) = match change {
        Change::To(side) => (declared.values(side), *ttl_s),
        Change::Nothing => (seen.values.as_slice(), seen.ttl_s),
    };
    if values.is_empty() || change != Change::Nothing {
        updates.push((name, Class::ANY, none, data(*kind, &[])?))?;
    }
    for Value { wire, .. } in values {
        updates.push((name, Class::IN, Ttl::from_secs(ttl_s), data(*kind, wire)?))?;
    }
    Ok(updates.additional())
}

fn data(kind: Kind, wire: &[u8]) -> Result<UnknownRecordData<&[u8]>, PushError> {
    UnknownRecordData::from_octets(kind.rtype(), wire).map_err(|_| PushError::ShortBuf)
}
