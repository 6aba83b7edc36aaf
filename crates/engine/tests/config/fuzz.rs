//! Files with random damage: an answer for each, and never a panic or a hang.

use crate::{SENSORS, parse};

/// Xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % n.max(1)
    }
}

const PIECES: &[&str] = &[
    "\t",
    "\n",
    "  ",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "#",
    "${",
    "${HOST}",
    "${NOWHERE}",
    "}",
    "$${",
    "null",
    "~",
    "5",
    "-1",
    "1e999",
    ".nan",
    "0x",
    "é",
    "\u{feff}",
    "\u{0}",
    "\r",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "http",
    "sources:",
    "views:",
    "from:",
    "columns:",
    "5s",
    "\\",
    "😀",
    "\u{2028}",
    ",",
];

fn damaged(random: &mut Random, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(chars.len());
        match random.below(4) {
            0 => {
                let end = (at + 1 + random.below(12)).min(chars.len());
                chars.drain(at..end);
            }
            1 => {
                let piece = PIECES[random.below(PIECES.len())];
                chars.splice(at..at, piece.chars());
            }
            2 => {
                let end = (at + 1 + random.below(80)).min(chars.len());
                let copy: Vec<char> = chars[at..end].to_vec();
                let to = random.below(chars.len());
                chars.splice(to..to, copy);
            }
            _ => chars.truncate(at.max(1)),
        }
        if chars.is_empty() {
            chars.push('a');
        }
    }
    chars.into_iter().collect()
}

#[test]
fn a_damaged_file_gets_an_answer() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5EED_1234_u64);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let (mut taken, mut refused) = (0, 0);
    let mut last = SENSORS.to_owned();
    for round in 0..4_000 {
        // Now and then more damage to what is damaged.
        let from = if round % 8 < 3 && last.len() < 4_000 { last.as_str() } else { SENSORS };
        let text = damaged(&mut random, from);
        match parse(&text) {
            Ok(pipeline) => {
                taken += 1;
                for view in &pipeline.views {
                    let (line, col) = (random.below(4), random.below(90));
                    let _place = pipeline.text.place_in_view(&view.name, line, col);
                }
            }
            Err(problems) => {
                refused += 1;
                assert!(!problems.is_empty());
                let said = problems.render(random.below(2) == 0);
                assert!(said.contains("pipeline.yaml"), "{said}");
                assert!(problems.to_json().is_array());
            }
        }
        last = text;
    }
    assert!(taken > 50 && refused > 500, "damage is neither nothing nor all: {taken}, {refused}");
}

/// What long files get. Time shows in the whole run: quadratic work here takes minutes.
#[test]
fn a_file_full_of_errors_is_answered_soon() {
    let many = |one: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        let mut i = 0;
        while text.len() < 100_000 {
            text.push_str(&one(i));
            i += 1;
        }
        text
    };
    let files = [
        format!("sources:\n{}", many(&|i| format!("  s{i}: {{ from: nothing }}\n"))),
        format!("sources: {{ {} }}", many(&|i| format!("s{i}: {{ from: nothing }}, "))),
        format!("sources:\n{}", many(&|_| "  same: { from: stdin }\n".into())),
        format!("sinks:\n{}", many(&|i| format!("  s{i}: {{ rows: r{i}, to: stdout }}\n"))),
        format!(
            "sources:\n  a:\n    from: stdin\n    columns:\n{}",
            many(&|i| format!("      c{i}: int46\n"))
        ),
        format!(
            "sources:\n  a:\n    from:\n      http:\n{}",
            many(&|i| format!("        o{i}: 1\n"))
        ),
        format!(
            "sources:\n  a: &a {{ from: [{}] }}\n{}",
            "x,".repeat(50),
            many(&|i| format!("  b{i}: *a\n"))
        ),
        format!(
            "sources:\n  a: &a {{ from: stdin }}\n{}",
            many(&|i| format!("  b{i}: {{ <<: *a }}\n"))
        ),
        format!(
            "sources: {{ a: {{ from: {{ http: {{ url: \"{}\" }} }} }} }}",
            "${HOST}".repeat(10_000)
        ),
        format!(
            "sources: {{ a: {{ from: stdin }} }}\nviews:\n{}",
            many(&|i| format!("  v{i}: |\n    SELECT '${{X{i}}}'\n"))
        ),
        many(&|_| "- ".into()),
        many(&|_| "{".into()),
        many(&|_| "a: ".into()),
        many(&|_| "? ".into()),
        many(&|_| "\"".into()),
        many(&|_| "&a ".into()),
        many(&|_| "#\n".into()),
    ];
    for text in files {
        let head: String = text.chars().take(60).collect();
        let problems = parse(&text).expect_err(&head);
        assert!(problems.list().len() <= 100, "{head}");
        assert!(problems.to_string().len() < 1_000_000, "{head}");
    }
}
