//! "did you mean".

/// The fix for a name that is not among those known.
pub(super) fn known<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "leave it out: nothing is known here".to_owned();
    }
    let list = known.join(", ");
    match nearest(given, &known) {
        Some(name) => format!("did you mean `{name}`? known: {list}"),
        None => format!("known: {list}"),
    }
}

/// Types by the names that other systems give them, which are like none of ours or like a wrong one.
const ELSEWHERE: &[(&str, &str)] = &[
    ("bigint", "int64"),
    ("datetime", "timestamp"),
    ("double", "float64"),
    ("float", "float64"),
    ("int", "int64"),
    ("integer", "int64"),
    ("long", "int64"),
    ("number", "float64"),
    ("object", "json"),
    ("real", "float64"),
    ("text", "string"),
    ("varchar", "string"),
];

/// The known name that is most like the given one, if one is like it at all.
pub(super) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    // A name as long as a paragraph is like nothing, and comparing takes time.
    if given.len() > 100 {
        return None;
    }
    let lower = given.to_lowercase();
    let ours = ELSEWHERE.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    if let Some(ours) = known.iter().find(|k| Some(**k) == ours) {
        return Some(ours);
    }
    let mut best = None;
    for name in known {
        let like = strsim::jaro_winkler(&lower, &name.to_lowercase());
        if like >= 0.8 && best.is_none_or(|(most, _)| like > most) {
            best = Some((like, *name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_system_is_known_before_one_that_looks_alike() {
        let types = ["int64", "string", "date", "timestamp"];
        assert_eq!(nearest("DateTime", &types), Some("timestamp"));
        assert_eq!(nearest("datee", &types), Some("date"));
        assert_eq!(nearest("text", &types), Some("string"));
        assert_eq!(nearest("datetime", &["date"]), Some("date"));
    }
}
