//! A resolved block of a spec as providers see it: checked against their schema, every value known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Address;

/// A block with its settings. This is what the journal keeps, so secrets are references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// `source.directory.old`, `route.symlink.site`, `cutover.site.quiesce.command`, ...
    pub address: Address,
    /// The provider type: the first label (`directory`, `symlink`, `command`).
    pub provider: String,
    /// Absolute path of the spec's directory: commands run there.
    pub base_dir: PathBuf,
    /// The settings, defaults filled in.
    pub config: Config,
    /// Of an endpoint with several units (a search cluster): those that a call is about, by the names that they have
    /// at this endpoint. Empty: no more is known than the block itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
}

/// Settings by attribute name. Durations are whole milliseconds, sizes bytes, rates bytes a second;
/// paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Config {
    settings: BTreeMap<String, Setting>,
}

/// One value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// A value that may be shown and stored.
    Plain(serde_json::Value),
    /// A value that is read when needed and never stored.
    Secret(SecretRef),
}

/// Where a secret is to be found when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// The environment variable of this name.
    Env(String),
    /// The value that the spec's evaluation gave to this block's attribute (sensitive variables are
    /// given again with every command).
    Spec {
        /// The block.
        address: Address,
        /// The attribute.
        attribute: String,
    },
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Spec { address, attribute } => write!(f, "{address}.{attribute}"),
        }
    }
}

/// A secret in memory: it cannot be printed or serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; name this call only where it is sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A setting that is missing or has another type than its reader expects. Specs are checked against the
/// schema first, so this means that the schema and its reader disagree, or that the state is from
/// another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {name:?} of {address} is not {wanted}")]
pub struct ConfigError {
    /// The block.
    pub address: Address,
    /// The attribute.
    pub name: String,
    /// What was looked for.
    pub wanted: &'static str,
}

impl Config {
    /// Sets a value.
    pub fn insert(&mut self, name: impl Into<String>, setting: Setting) {
        self.settings.insert(name.into(), setting);
    }

    /// All settings in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// One setting.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// One plain value, `None` when absent, null or a secret.
    pub fn plain(&self, name: &str) -> Option<&serde_json::Value> {
        match self.settings.get(name) {
            Some(Setting::Plain(value)) if !value.is_null() => Some(value),
            _ => None,
        }
    }
}

impl BlockRef {
    fn wrong(&self, name: &str, wanted: &'static str) -> ConfigError {
        ConfigError { address: self.address.clone(), name: name.to_owned(), wanted }
    }

    /// The same block, narrowed to units.
    #[must_use]
    pub fn narrowed(&self, scope: Vec<String>) -> Self {
        Self { scope, ..self.clone() }
    }

    /// A string that must be there.
    pub fn text(&self, name: &str) -> Result<&str, ConfigError> {
        self.config.plain(name).and_then(|v| v.as_str()).ok_or_else(|| self.wrong(name, "a string"))
    }

    /// An absolute path that must be there.
    pub fn path(&self, name: &str) -> Result<&Path, ConfigError> {
        self.text(name).map(Path::new)
    }

    /// A list of strings; absent is `None`.
    pub fn words(&self, name: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(value) = self.config.plain(name) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or_else(|| self.wrong(name, "a list of strings"))?;
        list.iter()
            .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, "a list of strings")))
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    /// A whole number (milliseconds, bytes, a count); absent is `None`.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.config.plain(name) else {
            return Ok(None);
        };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "a whole number"))
    }

    /// Any number; absent is `None`.
    pub fn decimal(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.config.plain(name) else {
            return Ok(None);
        };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(name, "a number"))
    }

    /// A boolean; absent is `None`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.config.plain(name) else {
            return Ok(None);
        };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "true or false"))
    }
}
