//! The search servers that tests run against, and in what they differ for those who ask them.

/// A server, by product and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 6.8.23, the whole archive.
    Elasticsearch6_8,
    /// 7.10.2, the Apache-licensed one: no point in time, no security.
    Elasticsearch7_10,
    /// 7.10.2 with points in time and passwords.
    Elasticsearch7_10Secured,
    /// 7.17.29: without painless, ingest processors and the languages' analyzers.
    Elasticsearch7_17,
    /// 8.17.0: moreover without reindex and `GET /`.
    Elasticsearch8_17,
    /// 1.3.14.
    OpenSearch1_3,
    /// 2.19.4.
    OpenSearch2_19,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Elasticsearch6_8,
        Self::Elasticsearch7_10,
        Self::Elasticsearch7_10Secured,
        Self::Elasticsearch7_17,
        Self::Elasticsearch8_17,
        Self::OpenSearch1_3,
        Self::OpenSearch2_19,
    ];

    /// `opensearch-2.19.4`: its name in `tests/components/search`.
    pub fn server(self) -> &'static str {
        match self {
            Self::Elasticsearch6_8 => "elasticsearch-6.8.23",
            Self::Elasticsearch7_10 => "elasticsearch-7.10.2",
            Self::Elasticsearch7_10Secured => "elasticsearch-7.10.2-xpack",
            Self::Elasticsearch7_17 => "elasticsearch-7.17.29",
            Self::Elasticsearch8_17 => "elasticsearch-8.17.0",
            Self::OpenSearch1_3 => "opensearch-1.3.14",
            Self::OpenSearch2_19 => "opensearch-2.19.4",
        }
    }

    /// The name of Segue's provider: `elasticsearch` or `opensearch`.
    pub fn product(self) -> &'static str {
        match self {
            Self::OpenSearch1_3 | Self::OpenSearch2_19 => "opensearch",
            Self::Elasticsearch6_8
            | Self::Elasticsearch7_10
            | Self::Elasticsearch7_10Secured
            | Self::Elasticsearch7_17
            | Self::Elasticsearch8_17 => "elasticsearch",
        }
    }

    /// Whether documents have a mapping type (`_doc` in these tests), which bulk requests and mappings must name.
    pub fn has_types(self) -> bool {
        self == Self::Elasticsearch6_8
    }

    /// Whether it can ask for a password.
    pub fn knows_passwords(self) -> bool {
        !matches!(self, Self::Elasticsearch7_10 | Self::OpenSearch1_3 | Self::OpenSearch2_19)
    }
}
