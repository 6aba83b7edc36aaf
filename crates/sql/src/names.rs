//! Names that are meant when others are written.

/// The known name that `name` most likely stands for: the same but for its case, or a close one.
pub(crate) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&lower, &k.to_lowercase()), k))
        .filter(|(likeness, _)| *likeness > 0.8)
        // The first of equals, so that the answer does not depend on anything but the order given.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, k)| k)
}

/// What to do about an unknown name: the one that is meant, and those there are.
pub(crate) fn fix<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    names_max: usize,
) -> String {
    let meant = meant(name, known.clone());
    let count = known.clone().into_iter().count();
    let mut list = known.into_iter().take(names_max).map(|k| format!("`{k}`")).collect::<Vec<_>>();
    if count > names_max {
        list.push(format!("and {} more", count - names_max));
    }
    match (meant, list.is_empty()) {
        (Some(m), _) if count > names_max => format!("did you mean `{m}`?"),
        (Some(m), _) => format!("did you mean `{m}`? known: {}", list.join(", ")),
        (None, false) => format!("known: {}", list.join(", ")),
        (None, true) => "there are none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_guessed_by_case_or_likeness_and_all_are_listed() {
        let known = ["sensorId", "value"];
        assert_eq!(meant("sensorid", known), Some("sensorId"));
        assert_eq!(meant("vlaue", known), Some("value"));
        assert_eq!(meant("zebra", known), None);
        assert_eq!(fix("vlaue", known, 9), "did you mean `value`? known: `sensorId`, `value`");
        assert_eq!(fix("zebra", known, 1), "known: `sensorId`, and 1 more");
    }
}
