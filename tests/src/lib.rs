//! What the scenario tests share, and segue-lab. See ARCHITECTURE.md.
