//! The table of the language's own blocks: it drives checks, defaults and documentation.

mod conditions;

use std::collections::BTreeMap;

use segue_contract::{AttributeType, BlockKind, LoadMode, Registry};
use serde_json::json;

use super::shape::{AttributeShape, BlockShape, BodyShape, ShapeType, attribute, block};

const STRING: ShapeType = ShapeType::Of(AttributeType::String);
const BOOL: ShapeType = ShapeType::Of(AttributeType::Bool);
const DURATION: ShapeType = ShapeType::Of(AttributeType::Duration);
const WORDS: ShapeType = ShapeType::Of(AttributeType::Words);
const NUMBER: ShapeType = ShapeType::Of(AttributeType::Number);
const RATE: ShapeType = ShapeType::Of(AttributeType::Rate);
const PAIRS: ShapeType = ShapeType::Of(AttributeType::Pairs);
const PATH: ShapeType = ShapeType::Of(AttributeType::Path);

fn for_each() -> AttributeShape {
    attribute(
        "for_each",
        ShapeType::Written,
        "A map or a set of strings: one instance for each, with each.key and each.value.",
    )
}

fn depends_on() -> AttributeShape {
    attribute(
        "depends_on",
        ShapeType::References(&["migration", "cutover"]),
        "Blocks whose work comes before this one's.",
    )
}

/// Every block of the language, with what this registry's providers add.
pub fn core_blocks(registry: &Registry) -> Vec<BlockShape> {
    let provided = |kind: BlockKind| -> BTreeMap<String, BodyShape> {
        let of_kind = registry.schemas().iter().filter(|s| s.kind == kind);
        of_kind
            .map(|s| {
                let attributes = s.attributes.iter().map(AttributeShape::from).collect();
                (s.name.clone(), BodyShape { doc: s.doc.clone(), attributes, blocks: Vec::new() })
            })
            .collect()
    };
    let labels = ["type", "name"];
    vec![
        settings(),
        variable(),
        block("locals", &[], "Named values: local.name.", Vec::new()).repeated(),
        block(
            "output",
            &["name"],
            "A value that the spec computes; the plan has it (`plan --json`).",
            vec![
                attribute("value", ShapeType::Written, "The value.").required(),
                attribute("sensitive", BOOL, "Whether it is hidden.").or(json!(false)),
                attribute("description", STRING, "For people."),
            ],
        )
        .repeated(),
        block(
            "removed",
            &[],
            "Says that a block was taken out of the spec on purpose: Segue forgets it and touches nothing.",
            vec![
                attribute("from", ShapeType::Written, "Its address, for example migration.site.").required(),
            ],
        )
        .repeated(),
        block("source", &labels, "A system that data is moved from.", vec![for_each()])
            .repeated()
            .typed(provided(BlockKind::Source)),
        block("target", &labels, "A system that data is moved to.", vec![for_each()])
            .repeated()
            .typed(provided(BlockKind::Target)),
        block("route", &labels, "What clients follow.", vec![for_each()])
            .repeated()
            .typed(provided(BlockKind::Route)),
        migration(modes(registry)),
        cutover(
            provided(BlockKind::Quiesce),
            conditions::gates(provided(BlockKind::Gate)),
            conditions::watches(provided(BlockKind::Watch)),
        ),
    ]
}

fn settings() -> BlockShape {
    block(
        "segue",
        &[],
        "Settings of Segue itself.",
        vec![
            attribute(
                "required_version",
                STRING,
                "Versions of Segue that may run this spec: \">= 0.1, < 2\".",
            ),
            attribute(
                "parallelism",
                NUMBER,
                "Units that are loaded, carried and verified at once; default 4.",
            ),
            attribute("rate_limit", RATE, "Bytes a second for all units of a run together: \"100MiB/s\"."),
            attribute("cutovers", NUMBER, "Cutovers whose writes are paused at once; default 1."),
        ],
    )
    .repeated()
    .with(vec![block(
        "backend",
        &["type"],
        "Where the state is kept; the type is \"local\".",
        vec![attribute("path", PATH, "The state directory; default .segue beside the spec.")],
    )])
}

fn variable() -> BlockShape {
    block(
        "variable",
        &["name"],
        "A value given from outside: var.name.",
        vec![
            attribute(
                "type",
                ShapeType::Written,
                "string, number, bool, any, list(T), set(T), map(T), object({...}).",
            ),
            attribute(
                "default",
                ShapeType::Written,
                "Its value when none is given; no default: one must be given.",
            ),
            attribute("sensitive", BOOL, "Whether its value is kept out of plan, state and logs.")
                .or(json!(false)),
            attribute("description", STRING, "For people."),
        ],
    )
    .repeated()
    .with(vec![
        block(
            "validation",
            &[],
            "A condition that the value must meet.",
            vec![
                attribute("condition", ShapeType::Written, "True when the value is good.").required(),
                attribute("error_message", ShapeType::Written, "What to say when it is not.").required(),
            ],
        )
        .repeated(),
    ])
}

/// What the engines' modes of the first load add to a `load` block: each attribute once, with the modes that it is for.
/// That a mode's own attributes are there, and no others, is checked where the pair is known.
fn modes(registry: &Registry) -> Vec<AttributeShape> {
    let mut words: Vec<String> = Vec::new();
    let mut attributes: Vec<(AttributeShape, Vec<String>)> = Vec::new();
    for schema in registry.engines().flat_map(|engine| engine.load_modes()) {
        let word = format!("{:?}: {}", schema.name, schema.doc);
        if words.contains(&word) {
            continue;
        }
        words.push(word);
        for attribute in &schema.attributes {
            match attributes.iter_mut().find(|(known, _)| known.name == attribute.name) {
                Some((_, modes)) => modes.push(schema.name.clone()),
                None => {
                    let shape =
                        AttributeShape { required: false, default: None, ..AttributeShape::from(attribute) };
                    attributes.push((shape, vec![schema.name.clone()]));
                }
            }
        }
    }
    let doc = format!(
        "How everything is carried first. \"copy\": Segue reads and writes it.{}",
        words.iter().map(|word| format!(" {word}")).collect::<String>()
    );
    let mode = attribute("mode", STRING, &doc).or(json!(LoadMode::COPY));
    let own = attributes.into_iter().map(|(shape, modes)| {
        let doc = format!("{} (mode {})", shape.doc, modes.join(", "));
        AttributeShape { doc, ..shape }
    });
    std::iter::once(mode).chain(own).collect()
}

fn migration(modes: Vec<AttributeShape>) -> BlockShape {
    block(
        "migration",
        &["name"],
        "A source, a target, what is moved and how it is loaded, kept in sync and verified.",
        vec![
            attribute("source", ShapeType::Reference(&["source"]), "Where data comes from.").required(),
            attribute("target", ShapeType::Reference(&["target"]), "Where data goes to.").required(),
            depends_on(),
            for_each(),
        ],
    )
    .repeated()
    .with(vec![
        block(
            "select",
            &[],
            "What is moved.",
            vec![
                attribute("include", WORDS, "Patterns to take; absent: all."),
                attribute("exclude", WORDS, "Patterns to leave out, after include."),
                attribute(
                    "rename",
                    PAIRS,
                    "Units that have another name at the target: { \"logs-*\" = \"archive-*\" }, one * at most.",
                ),
            ],
        ),
        transform(),
        load(modes),
        block(
            "sync",
            &[],
            "The passes that keep the target fresh.",
            vec![
                attribute("interval", DURATION, "Pause between passes.").or(json!(30_000)),
                attribute(
                    "max_deletions",
                    ShapeType::Deletions,
                    "A pass that would delete more records of a unit, or all, stops and asks: 500, or \"20%\". Absent: more than half of them and more than 100.",
                ),
            ],
        ),
        verify(),
        audit(),
        waive(),
    ])
}

fn verify() -> BlockShape {
    block(
        "verify",
        &[],
        "How the target is compared with the source.",
        vec![
            attribute("level", STRING, "How closely.")
                .one_of(&["count", "sampled", "full"])
                .or(json!("full")),
            attribute("valid_for", DURATION, "How long a verification counts.").or(json!(86_400_000)),
            attribute("on_mismatch", STRING, "Carry differing records again, or stop.")
                .one_of(&["repair", "fail"])
                .or(json!("fail")),
            attribute(
                "in_pause",
                BOOL,
                "Compare everything in the pause, not only what changed since the last verification.",
            )
            .or(json!(false)),
        ],
    )
}

fn audit() -> BlockShape {
    block(
        "audit",
        &[],
        "How passes look for changes that no file time shows.",
        vec![
            attribute(
                "sample",
                STRING,
                "The share of the unchanged that each pass reads, at least 100 records, others each time.",
            )
            .or(json!("0.1%")),
        ],
    )
}

fn load(modes: Vec<AttributeShape>) -> BlockShape {
    let mut own = vec![
        attribute("parallelism", NUMBER, "Workers; 0: as many as cores.").or(json!(0)),
        attribute("rate_limit", RATE, "Bytes a second at most: \"50MiB/s\"."),
    ];
    own.extend(modes);
    block("load", &[], "How everything is carried first, and how fast.", own)
}

fn transform() -> BlockShape {
    block(
        "transform",
        &[],
        "How records are changed on their way to the target. Fields are dotted paths.",
        vec![
            attribute("rename", PAIRS, "Fields that have another name at the target: { \"old\" = \"new\" }."),
            attribute("drop", WORDS, "Fields that the target does not get."),
        ],
    )
    .with(vec![
        block(
            "map",
            &["field"],
            "Values of a field that are others at the target.",
            vec![attribute("values", PAIRS, "From what to what: { \"1\" = \"active\" }.").required()],
        )
        .repeated(),
    ])
}

fn cutover(
    quiesces: BTreeMap<String, BodyShape>,
    gates: BTreeMap<String, BodyShape>,
    watches: BTreeMap<String, BodyShape>,
) -> BlockShape {
    let narrowing = |side: &str| block(side, &[], "Only this side.", Vec::new());
    block(
        "cutover",
        &["name"],
        "Migrations that switch together, and under which conditions.",
        vec![
            attribute("migrations", ShapeType::References(&["migration"]), "The migrations.").required(),
            attribute("live", STRING, "Which side serves; always said, also beside finished.")
                .one_of(&["source", "target"]),
            attribute("finished", BOOL, "Give up the fallback, release what is temporary.").or(json!(false)),
            attribute(
                "timeout",
                DURATION,
                "Not committed within this from the quiesce on: abort, source first.",
            )
            .or(json!(120_000)),
            attribute("freeze", DURATION, "Two positions this far apart must be equal; at least 50ms.")
                .or(json!(50)),
            depends_on(),
            for_each(),
        ],
    )
    .repeated()
    .with(vec![
        block("gate", &["type"], "A condition to wait for.", Vec::new()).repeated().typed(gates),
        block(
            "quiesce",
            &["type"],
            "How writes to the live side are refused or the writers stopped.",
            vec![attribute("migrations", ShapeType::References(&["migration"]), "Only these migrations.")],
        )
        .repeated()
        .with(vec![narrowing("source"), narrowing("target")])
        .typed(quiesces),
        block(
            "switch",
            &[],
            "What is pointed at the live side.",
            vec![
                attribute("routes", ShapeType::References(&["route"]), "The routes, in order.").required(),
                attribute(
                    "settle",
                    DURATION,
                    "How long clients may keep an old answer; stopped writers are not started before.",
                )
                .or(json!(0)),
                attribute(
                    "steps",
                    ShapeType::Numbers,
                    "Percents of reads that go to the target before the switch, one after the other; the last, 100, is the switch. Writes move only then. Every route must be able to weigh.",
                ),
                attribute(
                    "hold",
                    DURATION,
                    "How long each step is held while gates and watches are looked at; default 1m.",
                ),
            ],
        ),
        block("watch", &["type"], "What is looked at after a switch to the target.", Vec::new())
            .repeated()
            .typed(watches),
        block(
            "fallback",
            &[],
            "The old side after the switch.",
            vec![
                attribute("reverse", BOOL, "Keep it fresh.").or(json!(false)),
                attribute(
                    "stale_writers",
                    STRING,
                    "The old side has no barrier of its own: find and list what stale clients write there.",
                )
                .one_of(&["report"]),
                attribute("retain", DURATION, "How long it is kept."),
                attribute("max_age", DURATION, "From which age on it is stale: nothing was carried to it for so long.")
                    .or(json!(3_600_000)),
                attribute("accept_loss", BOOL, "Allow a switch back that loses what the target took.")
                    .or(json!(false)),
                attribute("dual_write", BOOL, "Clients may write to both sides: a target that cannot be read is left without a fence.")
                    .or(json!(false)),
                attribute(
                    "fence",
                    WORDS,
                    "Keeps the target from serving, from outside (power, firewall, credentials), and proves it: exit 0 means that \
                     it takes no write, and comes back only by hand. May be run again. For a target that cannot be read.",
                ),
                attribute("fence_timeout", DURATION, "How long fence may take; then it is killed, and proves nothing.")
                    .or(json!(30_000)),
            ],
        ),
        rehearsal(),
        waive(),
    ])
}

fn waive() -> BlockShape {
    block(
        "waive",
        &["code"],
        "A finding that is accepted, and why; part of the plan's hash.",
        vec![
            attribute("reason", STRING, "Why.").required(),
            attribute(
                "keys",
                WORDS,
                "The records that it holds for, each whole or a beginning and *; absent: the finding as a whole.",
            ),
        ],
    )
    .repeated()
}

fn rehearsal() -> BlockShape {
    block(
        "rehearse",
        &[],
        "A whole migration to a copy beside the target, which is taken away again: it measures, and finds what would fail.",
        vec![
            attribute("mode", STRING, "Stop after it, or go on when nothing critical was found.")
                .one_of(&["only", "before"])
                .or(json!("before")),
            attribute("quiesce", BOOL, "Whether the live side may be quiesced for it, as in the pause.")
                .or(json!(false)),
            attribute("valid_for", DURATION, "How long a rehearsal counts.").or(json!(604_800_000)),
            attribute(
                "test",
                WORDS,
                "A command that looks at the copy and finds it good by exit 0; {path} stands for the copy's path, and so on for each of its settings.",
            ),
        ],
    )
}

/// Words of the language that are designed and not there yet.
pub(super) fn comes_later(word: &str) -> bool {
    ["count", "module", "check", "moved", "lifecycle"].contains(&word)
}
