//! The fields of a mapping on their way to another product or version: types that have a counterpart are translated,
//! those without are told, parameters that are gone are left out.

use serde_json::{Map, Value, json};

use super::Said;
use crate::search::about::{About, Product, Version};

/// Translates `properties` or `fields`.
pub(super) fn translated(properties: &Value, from: &About, to: &About, said: &mut Said) -> Value {
    let mut walk = Walk { from, to, said };
    walk.fields(properties, "")
}

struct Walk<'a> {
    from: &'a About,
    to: &'a About,
    said: &'a mut Said,
}

impl Walk<'_> {
    fn fields(&mut self, properties: &Value, prefix: &str) -> Value {
        let Some(map) = properties.as_object() else {
            return properties.clone();
        };
        let mut kept = Map::new();
        for (name, field) in map {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(field) = self.field(field, &path) {
                kept.insert(name.clone(), field);
            }
        }
        Value::Object(kept)
    }

    /// One field; nothing where it has no counterpart.
    fn field(&mut self, field: &Value, path: &str) -> Option<Value> {
        let Some(map) = field.as_object() else {
            return Some(field.clone());
        };
        let ty = map.get("type").and_then(Value::as_str).unwrap_or("object");
        let mut kept = match self.to.knows_type(ty) {
            Some(false) => self.other_type(map, ty, path)?,
            Some(true) | None => map.clone(),
        };
        self.parameters(&mut kept, ty, path);
        for inner in ["properties", "fields"] {
            if let Some(value) = kept.get(inner).cloned() {
                kept.insert(inner.to_owned(), self.fields(&value, path));
            }
        }
        Some(Value::Object(kept))
    }

    /// A type that the target does not have.
    fn other_type(&mut self, field: &Map<String, Value>, ty: &str, path: &str) -> Option<Map<String, Value>> {
        let becomes = match ty {
            "flattened" if self.to.knows_type("flat_object") == Some(true) => Some(json!({"type": "flat_object"})),
            "flat_object" if self.to.knows_type("flattened") == Some(true) => Some(json!({"type": "flattened"})),
            "dense_vector" if self.to.product == Product::OpenSearch => field.get("dims").map(|dims| {
                json!({"type": "knn_vector", "dimension": dims, "method":
                    {"name": "hnsw", "engine": "lucene", "space_type": space_of(field.get("similarity"))}})
            }),
            "knn_vector" if self.to.version >= Version(8, 0, 0) => field.get("dimension").map(|dimension| {
                json!({"type": "dense_vector", "dims": dimension, "index": true, "similarity": similarity_of(field)})
            }),
            "match_only_text" => Some(json!({"type": "text"})),
            "unsigned_long" | "version" | "wildcard" | "constant_keyword" | "sparse_vector" | "histogram" | "point"
            | "shape" => None,
            _ => None,
        };
        match becomes.as_ref().and_then(Value::as_object) {
            Some(other) => {
                let name = other.get("type").and_then(Value::as_str).unwrap_or_default();
                self.said.warning(
                    "SEARCH_FIELD_TYPE",
                    format!("field {path:?} is {ty} at {}, which is {name} at {}", self.from, self.to),
                    "Documents are carried as they are; queries on the field have to be written anew, and its parameters are the target's defaults.",
                );
                self.said.vectors |= name == "knn_vector";
                Some(other.clone())
            }
            None => {
                let why = format!("field {path:?} is {ty}, which {} does not have", self.to);
                self.said.critical(
                    "SEARCH_FIELD_TYPE",
                    &why,
                    "Change the field at the source, or make the index at the target by hand with a type that it has; then plan again.",
                );
                self.said.left_out.push((path.to_owned(), why));
                None
            }
        }
    }

    /// Parameters that are gone.
    fn parameters(&mut self, field: &mut Map<String, Value>, ty: &str, path: &str) {
        let eight = self.to.product == Product::Elasticsearch && self.to.version >= Version(8, 0, 0);
        if !self.to.has_types() {
            // It acted on _all alone.
            field.remove("include_in_all");
        }
        if eight && field.remove("boost").is_some() {
            self.said.warning(
                "SEARCH_FIELD_BOOST",
                format!("field {path:?} has a boost in its mapping, which {} does not take", self.to),
                "Give the boost in queries: scores differ until then.",
            );
        }
        if eight && ty == "geo_shape" {
            let gone = ["tree", "precision", "tree_levels", "strategy", "distance_error_pct", "points_only"];
            let had = gone.iter().filter(|name| field.remove(**name).is_some()).count();
            if had > 0 {
                self.said.info(
                    "SEARCH_GEO_SHAPE",
                    format!(
                        "field {path:?} is indexed as points of a BKD tree at the target, not by prefixes"
                    ),
                    "See that searches by shape find the same.",
                );
            }
        }
        if ty == "date"
            && self.from.has_types()
            && !self.to.has_types()
            && let Some(format) = field.get("format").and_then(Value::as_str).filter(|f| is_joda(f))
        {
            self.said.warning(
                "SEARCH_DATE_FORMAT",
                format!("field {path:?} has the date format {format:?}, whose letters mean something else since 7"),
                "Compare with the table of changed letters (Y, y, u, C, x, Z), and correct the format at the source: an 8 before it means the new letters.",
            );
        }
    }
}

/// Letters of Joda's that java.time reads otherwise, in a format of one's own.
fn is_joda(format: &str) -> bool {
    let named =
        |part: &str| part.contains('_') || ["date", "hour", "time", "year", "weekyear"].contains(&part);
    let own = |part: &str| !part.starts_with('8') && !named(part);
    let formats = format.split("||").filter(|part| own(part));
    formats.flat_map(|part| part.split('\'').step_by(2)).any(|part| part.contains(['Y', 'C', 'x', 'Z', 'e']))
}

fn space_of(similarity: Option<&Value>) -> &'static str {
    match similarity.and_then(Value::as_str) {
        Some("l2_norm") => "l2",
        Some("dot_product" | "max_inner_product") => "innerproduct",
        _ => "cosinesimil",
    }
}

fn similarity_of(field: &Map<String, Value>) -> &'static str {
    let space = field.get("space_type").or_else(|| field.get("method").and_then(|m| m.get("space_type")));
    match space.and_then(Value::as_str) {
        Some("cosinesimil") => "cosine",
        Some("innerproduct") => "max_inner_product",
        _ => "l2_norm",
    }
}
