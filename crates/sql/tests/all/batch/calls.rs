//! Every aggregate, in its forms.

use fastrand::Rng;

use super::grammar::{Column, Kind, Scope, Type};

/// An aggregate: the names it has, and how it can be called.
pub(super) struct Call {
    pub names: &'static [&'static str],
    forms: &'static [Form],
}

/// One way to call it, what it gives, and how this is compared.
struct Form(&'static str, Gives, Kind);

/// The type of a result, if queries over it are made of it.
#[derive(Clone, Copy)]
enum Gives {
    Is(Type),
    /// That of the argument.
    Same,
    Other,
}

use Gives::{Is, Other, Same};
use Kind::{Bag, Bits, Distinct, Exact, Letters, Member, Near, Rank};
use Type::{Bool, Float, Int, Text};

const FLOAT: Form = Form("{f}({float})", Other, Near);
const PAIR: Form = Form("{f}({number}, {number})", Other, Near);
const NUMBERS: Form = Form("{f}(CAST({int} AS INT), {number})", Other, Near);

/// In a form `{f}` stands for a name, `{order}` for an order that leaves nothing open, `{tie}` for one that leaves it to
/// the order in which rows came, and the others for an expression of such a type. Of what is not exact the batch side computes what bounds it: see [`Kind::helper`].
pub(super) const CALLS: &[Call] = &[
    Call {
        names: &["count"],
        forms: &[
            Form("{f}(*)", Is(Int), Exact),
            Form("{f}({any})", Is(Int), Exact),
            Form("{f}(DISTINCT {any})", Is(Int), Exact),
            Form("{f}({any}, {any})", Is(Int), Exact),
        ],
    },
    Call {
        names: &["sum"],
        forms: &[
            Form("{f}({int})", Is(Int), Exact),
            Form("{f}({small})", Is(Int), Exact),
            Form("{f}({float})", Other, Near),
            Form("{f}({dec})", Other, Exact),
            Form("{f}(DISTINCT {int})", Is(Int), Exact),
            Form("{f}(DISTINCT {quarter})", Is(Float), Exact),
        ],
    },
    Call {
        names: &["avg", "mean"],
        forms: &[
            Form("{f}({int})", Other, Near),
            Form("{f}({float})", Other, Near),
            Form("{f}({dec})", Other, Exact),
            Form("{f}(DISTINCT {quarter})", Other, Near),
        ],
    },
    Call { names: &["min"], forms: MOST },
    Call { names: &["max"], forms: MOST },
    Call { names: &["median"], forms: MIDDLE },
    Call { names: &["percentile_cont", "quantile_cont"], forms: PARTS },
    Call { names: &["stddev", "stddev_samp"], forms: &[FLOAT] },
    Call { names: &["stddev_pop"], forms: &[FLOAT] },
    Call { names: &["var", "var_samp", "var_sample"], forms: &[FLOAT] },
    Call { names: &["var_pop", "var_population"], forms: &[FLOAT] },
    Call { names: &["corr"], forms: &[PAIR, NUMBERS] },
    Call { names: &["covar", "covar_samp"], forms: &[PAIR, NUMBERS] },
    Call { names: &["covar_pop"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_slope"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_intercept"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_r2"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_count"], forms: &[Form("{f}({float}, {float})", Is(Int), Exact)] },
    Call { names: &["regr_avgx"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_avgy"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_sxx"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_syy"], forms: &[PAIR, NUMBERS] },
    Call { names: &["regr_sxy"], forms: &[PAIR, NUMBERS] },
    Call { names: &["approx_distinct"], forms: &[Form("{f}({hashed})", Other, Distinct)] },
    Call { names: &["approx_median"], forms: &[Form("{f}({quarter})", Other, Rank(50))] },
    Call {
        names: &["approx_percentile_cont"],
        forms: &[
            Form("{f}({quarter}, 0.9)", Other, Rank(90)),
            Form("{f}(0.25) WITHIN GROUP (ORDER BY {quarter})", Other, Rank(25)),
        ],
    },
    Call {
        names: &["approx_percentile_cont_with_weight"],
        forms: &[Form("{f}({quarter}, {weight}, 0.5)", Other, Rank(50))],
    },
    Call { names: &["first_value"], forms: ENDS },
    Call { names: &["last_value"], forms: ENDS },
    Call {
        names: &["nth_value"],
        forms: &[
            Form("{f}({any}, 2 ORDER BY {order})", Same, Exact),
            Form("{f}({any}, -1 ORDER BY {order})", Same, Exact),
            Form("{f}({any}, 3 ORDER BY {tie})", Same, Exact),
            Form("{f}({any}, 2)", Other, Member),
        ],
    },
    Call { names: &["any_value"], forms: &[Form("{f}({any})", Other, Member)] },
    Call {
        names: &["array_agg"],
        forms: &[
            Form("{f}({any} ORDER BY {order})", Other, Exact),
            Form("{f}({any} ORDER BY {tie})", Other, Exact),
            Form("{f}({any})", Other, Bag),
            Form("{f}(DISTINCT {any})", Other, Bag),
            Form("{f}(DISTINCT {column} ORDER BY {column})", Other, Exact),
        ],
    },
    Call {
        names: &["string_agg"],
        forms: &[
            Form("{f}({text}, ', ' ORDER BY {order})", Is(Text), Exact),
            Form("{f}({text}, '' ORDER BY {tie})", Is(Text), Exact),
            Form("{f}({text}, '-')", Other, Letters),
            Form("{f}(DISTINCT {textcolumn}, ';' ORDER BY {textcolumn})", Is(Text), Exact),
        ],
    },
    Call { names: &["bool_and"], forms: &[Form("{f}({bool})", Is(Bool), Exact)] },
    Call { names: &["bool_or"], forms: &[Form("{f}({bool})", Is(Bool), Exact)] },
    Call { names: &["bit_and"], forms: BITS },
    Call { names: &["bit_or"], forms: BITS },
    Call {
        names: &["bit_xor"],
        forms: &[
            Form("{f}({int})", Is(Int), Exact),
            Form("{f}({small})", Is(Int), Exact),
            Form("{f}(DISTINCT {int})", Other, Bits),
        ],
    },
];

const MOST: &[Form] = &[
    Form("{f}({any})", Same, Exact),
    Form("{f}({small})", Is(Int), Exact),
    Form("{f}({dec})", Other, Exact),
    Form("{f}(DISTINCT {any})", Same, Exact),
];
const MIDDLE: &[Form] = &[
    Form("{f}({int})", Other, Near),
    Form("{f}({quarter})", Other, Near),
    Form("{f}({dec})", Other, Exact),
    Form("{f}(DISTINCT {quarter})", Other, Near),
];
const PARTS: &[Form] = &[
    Form("{f}({quarter}, 0.3)", Other, Near),
    Form("{f}(0.75) WITHIN GROUP (ORDER BY {quarter})", Other, Near),
    Form("{f}(0.1) WITHIN GROUP (ORDER BY {int} DESC)", Other, Near),
];
const ENDS: &[Form] = &[
    Form("{f}({any} ORDER BY {order})", Same, Exact),
    Form("{f}({any} ORDER BY {tie})", Same, Exact),
    Form("{f}({any} ORDER BY {order}) IGNORE NULLS", Same, Exact),
    Form("{f}({any})", Other, Member),
];
const BITS: &[Form] = &[Form("{f}({int})", Is(Int), Exact), Form("{f}({small})", Is(Int), Exact)];

/// A call, in the streaming and the batch spelling.
pub(super) struct Made {
    pub stream: String,
    pub batch: String,
    pub kind: Kind,
    /// What queries over it know of it.
    pub t: Option<Type>,
}

/// A random call of this aggregate.
pub(super) fn call(rng: &mut Rng, call: &Call, scope: &Scope) -> Made {
    let name = call.names[rng.usize(..call.names.len())];
    let Form(form, gives, kind) = &call.forms[rng.usize(..call.forms.len())];
    let mut args = Args { rng, scope, column: None, t: None, all: vec![] };
    let (mut stream, mut batch) = (String::new(), String::new());
    let mut rest = form.replace("{f}", name);
    while let Some((before, hole)) = rest.clone().split_once('{') {
        let (hole, after) = hole.split_once('}').unwrap();
        let (ours, theirs) = args.fill(hole);
        stream.push_str(&format!("{before}{ours}"));
        batch.push_str(&format!("{before}{theirs}"));
        rest = after.to_owned();
    }
    stream.push_str(&rest);
    batch.push_str(&rest);
    let t = match gives {
        Is(t) => Some(*t),
        Same => args.t,
        Other => None,
    };
    let all = args.all;
    if let Some(helper) = kind.helper(&all) {
        batch = helper;
    }
    if rng.u8(..5) == 0 {
        let filter = format!(" FILTER (WHERE {})", scope.bool(rng, 1));
        // It stands before how nulls are treated.
        for text in [&mut stream, &mut batch] {
            let at = text.strip_suffix(" IGNORE NULLS").map_or(text.len(), str::len);
            text.insert_str(at, &filter);
        }
    }
    Made { stream, batch, kind: *kind, t }
}

/// Fills the holes of a form.
struct Args<'a> {
    rng: &'a mut Rng,
    scope: &'a Scope,
    /// The column that was taken before, where it must be the same again.
    column: Option<Column>,
    /// The type of the first.
    t: Option<Type>,
    all: Vec<String>,
}

impl Args<'_> {
    fn fill(&mut self, hole: &str) -> (String, String) {
        let (rng, scope) = (&mut *self.rng, self.scope);
        let text = match hole {
            "int" => scope.of(rng, Int, 1),
            "small" => scope.small(rng),
            "float" => scope.float(rng),
            "number" if rng.u8(..4) == 0 => scope.real(rng),
            "number" | "quarter" => scope.of(rng, Float, 1),
            "dec" => scope.decimal(rng),
            "text" => scope.of(rng, Text, 1),
            "bool" => scope.bool(rng, 1),
            "weight" => format!("CAST(1 + abs({}) % 4 AS DOUBLE)", scope.of(rng, Int, 0)),
            "any" | "hashed" => {
                let t = scope.some_type(rng);
                // Of floats it is not computed.
                let t = if hole == "hashed" && t == Float { Int } else { t };
                self.t.get_or_insert(t);
                scope.of(rng, t, 1)
            }
            "column" | "textcolumn" => {
                let of = |c: &&Column| hole == "column" || c.t == Text;
                let taken = self.column.take();
                let column = taken.or_else(|| scope.pick(rng, of));
                self.column.clone_from(&column);
                // A table without text has constants.
                column.map_or_else(|| "'z'".to_owned(), |c| c.name)
            }
            "order" => return same(scope.order(rng)),
            "tie" => return scope.tie(rng),
            other => panic!("{other}"),
        };
        self.all.push(text.clone());
        same(text)
    }
}

fn same(text: String) -> (String, String) {
    (text.clone(), text)
}
