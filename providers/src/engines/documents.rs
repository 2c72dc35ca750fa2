//! The documents engine: search indexes, vector collections, keyed rows. Loading, passes, verification and the way back,
//! once for every system that implements [`Documents`].

mod collection;

pub use collection::{
    Collection, Documents, Found, Key, Limits, SliceStand, Stand, Want, Window, Write, Written,
};
