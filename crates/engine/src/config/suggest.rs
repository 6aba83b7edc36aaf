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

/// The known name that is most like the given one, if one is like it at all.
pub(super) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    // A name as long as a paragraph is like nothing, and comparing takes time.
    if given.len() > 100 {
        return None;
    }
    let lower = given.to_lowercase();
    let mut best = None;
    for name in known {
        let like = strsim::jaro_winkler(&lower, &name.to_lowercase());
        if like >= 0.8 && best.is_none_or(|(most, _)| like > most) {
            best = Some((like, *name));
        }
    }
    best.map(|(_, name)| name)
}
